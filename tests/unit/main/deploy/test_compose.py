"""The compose file: compose-lint takes it, and what its services run, set, ask and mount exists."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mezzotint.main.dev_up.nginx_server import read_shipped_site, serve_without_tls
from mezzotint.main.dev_up.s3_server import find_weed
from tests.deployment import DEPLOY, list_unknown_settings, parse_command, read_as_settings

COMPOSE = DEPLOY / "compose"
FILE = COMPOSE / "compose.yaml"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """As compose sees them, with the values of the example's .env."""
    given = dict(re.findall(r"^(\w+)=(.*)$", (COMPOSE / "example.env").read_text(), re.MULTILINE))

    def filled(match: re.Match[str]) -> str:
        default = match[2].removeprefix(":-") if match[2].startswith(":-") else None
        assert match[1] in given or default is not None, f"example.env lacks {match[1]}"
        return str(given.get(match[1], default))

    text = re.sub(r"\$\{(\w+)(:[^}]*)\}", filled, FILE.read_text())
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


def test_compose_lint_finds_nothing_but_tags_without_digests() -> None:
    """A digest is an installation's own choice: images of the platform that it runs on, looked at by its people."""
    lint = Path(sys.executable).with_name("compose-lint")
    done = subprocess.run([lint, "check", str(FILE)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert set(re.findall(r"CL-\d{4}", done.stdout.partition("Details on any rule")[0])) <= {"CL-0019"}, done.stdout


def test_commands_and_settings_exist_and_take_their_values(services: dict[str, Any]) -> None:
    for file in (FILE, COMPOSE / "example.env"):
        assert not list_unknown_settings(file.read_text())
    assert parse_command(services["gateway"]["command"])["worker"] is False
    assert parse_command(services["worker"]["command"])["device"] == "cuda"
    for name in ("gateway", "worker"):
        settings = read_as_settings(services[name]["environment"])
        assert settings.database is not None
        grace_s = float(services[name]["stop_grace_period"].removesuffix("s"))
        assert settings.shutdown_s + 3 <= grace_s


def test_services_ask_each_other_by_names_and_ports_that_exist(services: dict[str, Any]) -> None:
    ports = {"postgres": 5432, "s3": 8333, "valkey": 6379, "gateway": 8400}
    assert f"-s3.port={ports['s3']}" in services["s3"]["command"]
    assert str(ports["valkey"]) in services["valkey"]["command"]
    texts = [str(services), (COMPOSE / "nginx.conf").read_text()]
    asked = {found for text in texts for found in re.findall(r"(?:://|@|server )(\w+):(\d+)", text)}
    assert {name for name, _ in asked} == {"postgres", "s3", "valkey", "gateway"}
    assert all(ports[name] == int(port) for name, port in asked)
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        assert "healthcheck" in service or service["image"].startswith("mezzotint-")


def test_nginx_is_the_one_proxy_that_is_believed_and_the_one_door(services: dict[str, Any]) -> None:
    settings = read_as_settings(services["gateway"]["environment"])
    assert services["nginx"]["networks"]["edge"]["ipv4_address"] == settings.trusted_proxies
    assert {name: service["ports"] for name, service in services.items() if "ports" in service} == {
        "nginx": ["127.0.0.1:8080:8080"]
    }
    written = (COMPOSE / "nginx.conf").read_text()
    derived = serve_without_tls(read_shipped_site(), upstream="gateway:8400", listen="8080")
    assert written.partition("\n")[2] == derived


def test_seaweedfs_knows_its_flags(services: dict[str, Any]) -> None:
    command, *flags = services["s3"]["command"]
    shown = subprocess.run([find_weed(), command, "-h"], capture_output=True, text=True, timeout=60, check=False)
    known = set(re.findall(r"^\s*-([\w.]+)", shown.stdout + shown.stderr, re.MULTILINE))
    assert {flag[1:].partition("=")[0] for flag in flags} <= known
