"""nginx with deploy/nginx.conf, without TLS, where nginx is installed."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mezzotint.main.dev_up.local_server import HOST, LocalServer, is_listening

TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(kw_only=True)
class NginxServer(LocalServer):
    """upstream: the gateway's address, such as 127.0.0.1:8400."""

    title: ClassVar[str] = "nginx"
    program: str
    port: int
    upstream: str

    def command(self) -> list[str]:
        site = serve_without_tls(read_shipped_site(), upstream=self.upstream, listen=f"{HOST}:{self.port}")
        path = self.folder / "nginx.conf"
        path.write_text(embed_site(site, self.folder))
        return [self.program, "-e", str(self.folder / "error.log"), "-c", str(path)]

    def is_ready(self) -> bool:
        return is_listening(self.port)

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "error.log"


def find_nginx() -> str | None:
    """nginx's program, also where ordinary users' PATH does not lead."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def read_shipped_site() -> str:
    """deploy/nginx.conf: in a wheel beside this file."""
    packed = Path(__file__).with_name("nginx.conf")
    return (packed if packed.exists() else Path(__file__).parents[4] / "deploy" / "nginx.conf").read_text()


def serve_without_tls(site: str, *, upstream: str, listen: str) -> str:
    """The shipped site for plain HTTP under any name. Its settings of times, sizes and headers stay.

    Raises: ValueError, where the shipped site is another than this function knows.
    """
    changes = [
        (r"# nginx in front of .*?\n\n", ""),
        (r"server \{\n    listen 80;.*?\n\}\n\n", ""),
        (r"127\.0\.0\.1:8400;  # CHANGE", f"{upstream};"),
        (r"listen 443 ssl;\n    server_name [^\n]*\n", f"listen {listen};\n"),
        (r"    ssl_certificate [^\n]*\n    ssl_certificate_key [^\n]*\n", ""),
    ]
    for pattern, text in changes:
        site, num_changed = re.subn(pattern, text, site, count=1, flags=re.DOTALL)
        if num_changed != 1:
            raise ValueError(f"deploy/nginx.conf has nothing like {pattern!r}")
    return site


def embed_site(site: str, folder: Path) -> str:
    """The least of a configuration that nginx needs around a site, to run in the foreground as this user."""
    paths = "\n".join(f"{name}_temp_path {folder}/{name};" for name in TEMPORARY)
    user = "user root;" if os.getuid() == 0 else ""
    main = f"{user} daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;"
    return f"{main}\nevents {{}}\nhttp {{\naccess_log off;\n{paths}\n{site}\n}}\n"
