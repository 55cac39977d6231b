"""The ports of `dev up`: chosen once, kept in its folder, taken again at the next start."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mezzotint.domain.errors import DataFolderUnusable, PortInUse
from mezzotint.main.dev_up.local_server import free_port, is_port_free
from mezzotint.main.dev_up.s3_server import GRPC, choose_part_ports


class Addresses(BaseModel):
    """Ports on 127.0.0.1. s3_parts: of SeaweedFS's master, filer and so on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gateway: int = Field(default_factory=free_port)
    postgres: int = Field(default_factory=free_port)
    valkey: int = Field(default_factory=free_port)
    ray: int = Field(default_factory=free_port)
    s3: int = Field(default_factory=free_port)
    s3_parts: dict[str, int] = Field(default_factory=choose_part_ports)


def read_addresses(file: Path) -> Addresses:
    """The ports of an earlier start, or new ones. Raises: DataFolderUnusable, PortInUse."""
    if file.exists():
        try:
            addresses = Addresses.model_validate_json(file.read_bytes())
        except (ValidationError, OSError) as error:
            raise DataFolderUnusable(f"{file} is damaged: delete it, and other ports are chosen") from error
        ports = {
            "gateway": addresses.gateway,
            "PostgreSQL": addresses.postgres,
            "Valkey": addresses.valkey,
            "Ray": addresses.ray,
        }
        ports["S3"] = addresses.s3
        for name, port in addresses.s3_parts.items():
            ports |= {f"{name} of the S3": port, f"{name} of the S3, gRPC,": port + GRPC}
        for name, port in ports.items():
            if not is_port_free(port):
                raise PortInUse(
                    f"port {port} of the {name} is in use, perhaps by what an earlier start left running "
                    f"(`fuser {port}/tcp` names its process); where you delete {file}, other ports are chosen"
                )
        return addresses
    addresses = Addresses()
    file.write_text(json.dumps(addresses.model_dump(), indent=2))
    return addresses
