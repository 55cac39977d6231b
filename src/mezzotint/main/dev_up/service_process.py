"""A process of this very command: `mezzotint serve --no-worker` or `mezzotint worker`."""

import http.client
import sys
from dataclasses import dataclass, field

from mezzotint.main.dev_up.local_server import HOST, LocalServer, free_port


@dataclass(kw_only=True)
class ServiceProcess(LocalServer):
    """settings: its whole environment."""

    settings: dict[str, str]
    start_s: float = 300  # many machines import torch for a minute when they are busy
    stop_s: float = 60

    def environment(self) -> dict[str, str]:
        return self.settings


@dataclass(kw_only=True)
class GatewayProcess(ServiceProcess):
    title = "gateway"
    port: int = field(default_factory=free_port)

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "mezzotint", "serve", "--no-worker", "--host", HOST, "--port", str(self.port)]

    def is_ready(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (http.client.HTTPException, OSError):
            return False
        finally:
            connection.close()


@dataclass(kw_only=True)
class WorkerProcess(ServiceProcess):
    """Ready when it claims jobs; it loads its model afterwards."""

    title = "worker"

    @property
    def address(self) -> str:
        return "nothing: it asks the database"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "mezzotint", "worker"]

    def is_ready(self) -> bool:
        return b" draws with " in self.log.read_bytes()
