"""The Dockerfiles: hadolint takes them, their commands, settings and ports exist, a gateway gets no PyTorch."""

import json
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.deployment import DEPLOY, ROOT, list_unknown_settings, parse_command, read_as_settings

DOCKER = DEPLOY / "docker"
GATEWAY, WORKER = DOCKER / "gateway.Dockerfile", DOCKER / "worker.Dockerfile"
both = pytest.mark.parametrize("file", [GATEWAY, WORKER], ids=lambda file: file.name)


def variables(file: Path) -> dict[str, str]:
    """What ENV sets."""
    return dict(re.findall(r"^(?:ENV|   ) (?:\s*)?(\w+)=(\S+)", file.read_text(), re.MULTILINE))


@both
def test_hadolint_finds_nothing(file: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, str(file)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@both
def test_the_command_and_the_settings_of_an_image_exist(file: Path) -> None:
    text = file.read_text()
    assert 'ENTRYPOINT ["mezzotint"]' in text
    command = re.search(r"^CMD (\[.*\])$", text, re.MULTILINE)
    assert command is not None
    parse_command(json.loads(command[1]))
    assert not list_unknown_settings(text)
    assert read_as_settings(variables(file)).log_json


@both
def test_an_image_runs_as_a_user_without_rights_and_tells_whether_it_lives(file: Path) -> None:
    text = file.read_text()
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    assert all(re.search(r":\d+\.\d+\.\d+-", name) for name in re.findall(r"^FROM (\S+)", text, re.MULTILINE))
    settings = read_as_settings(variables(file))
    port, path = (settings.port, "healthz") if file == GATEWAY else (settings.worker_metrics_port, "metrics")
    assert f"http://127.0.0.1:{port}/{path}'" in text
    assert file == WORKER or f"\nEXPOSE {port}\n" in text


def test_the_list_of_a_gateways_packages_is_fresh_and_without_pytorch() -> None:
    lock = runpy.run_path(str(DOCKER / "lock_gateway.py"))
    written = (DOCKER / "gateway-requirements.txt").read_text()
    assert written == lock["list_requirements"](), "run deploy/docker/lock_gateway.py"
    names = {line.partition("==")[0].lower().replace("_", "-") for line in written.splitlines()[1:]}
    assert not names & lock["LEFT_OUT"]
    assert {"asyncpg", "valkey", "fastapi", "onnxruntime"} <= names


def test_all_that_an_image_copies_is_sent_to_its_builder() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert all((ROOT / path).exists() for path in sent)
    for file in (GATEWAY, WORKER):
        for path in re.findall(r"^COPY ([^-.\s]\S*) ", file.read_text(), re.MULTILINE):
            assert (ROOT / path).exists()
            assert path in sent or str(Path(path).parent) in sent, path
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["force-include"]) <= sent
