"""Ray of this machine alone, and the fleet that runs on it."""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from mezzotint.domain.errors import LocalServerFailed
from mezzotint.fleet.local_ray import START_S, STARTED, STOP_S, make_command
from mezzotint.main.dev_up.local_server import HOST, LocalServer

COMMAND_S = 400.0
"""Longest time of `fleet up` and `fleet down` on a busy machine."""
DRAIN_S = 60.0
"""Workers have so long to hand their runs on."""
FILE = """\
# The workers of `mezzotint dev up --fleet`: one pool of this machine's processor.
# For a GPU: num_gpus = 1 and its kind, such as accelerator = "L4". After a change: `mezzotint fleet up` with this file.
[[pools]]
name = "local"
accelerator = "cpu"
min = 1
max = 2
"""


@dataclass(kw_only=True)
class RayServer(LocalServer):
    """Wants the token whose file this process's environment names."""

    title: ClassVar[str] = "Ray"
    port: int
    start_s: float = START_S
    stop_s: float = STOP_S
    sockets: str = field(default_factory=lambda: tempfile.mkdtemp(prefix="mezzotint-ray-"))
    """A short path: those of sockets have 107 bytes."""

    def command(self) -> list[str]:
        return make_command(self.port, self.sockets)

    def is_ready(self) -> bool:
        return STARTED in self.log.read_text(errors="replace")

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def stop(self) -> None:
        super().stop()
        shutil.rmtree(self.sockets, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFleet:
    """The fleet of a file on a local Ray, by the commands of its operator. settings: their environment."""

    file: Path
    address: str
    settings: dict[str, str]

    def up(self) -> None:
        """Raises: LocalServerFailed, with what the command said."""
        if not self.file.exists():
            self.file.write_text(FILE)
        done = self._run("up", str(self.file), "--ray", self.address)
        if done.returncode:
            raise LocalServerFailed(f"the fleet of {self.file} did not start:\n{done.stderr.strip()}")

    def down(self) -> str:
        """Let the workers hand their runs on, if the fleet is up. Returns the command's last words."""
        done = self._run("down", "--wait", f"{DRAIN_S:.0f}")
        if done.returncode:
            done = self._run("down", "--now")
        return (done.stdout if done.returncode == 0 else done.stderr).strip().rpartition("\n")[2]

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mezzotint", "fleet", *arguments]
        try:
            return subprocess.run(
                command,
                env=self.settings,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                process_group=0,  # Ctrl-C goes to `dev up` alone
                timeout=COMMAND_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 1, "", f"`fleet {arguments[0]}` took over {COMMAND_S:.0f} s")
