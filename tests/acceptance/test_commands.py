"""The commands as a newcomer runs them: the right way, and with things missing, broken or in the way."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from PIL import Image

from mezzotint.engine.models import files
from tests.acceptance.conftest import MEZZOTINT, Server, served


def mezzotint(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """It runs in an empty folder: `data` here may be that of a server whose key would sign the pictures."""
    with TemporaryDirectory() as folder:
        return subprocess.run(
            [MEZZOTINT, *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=240,
            cwd=folder,
            env={**os.environ, **environment},
        )


@pytest.fixture(scope="module")
def apple(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture drawn in process."""
    out = tmp_path_factory.mktemp("apple") / "apple.png"
    done = mezzotint("imagine", "a red apple --seed 7", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "seed 7" in done.stdout
    return out


def test_the_same_prompt_and_seed_give_the_same_bytes(apple: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.png"
    assert mezzotint("imagine", "a red apple --seed 7", "--out", str(again)).returncode == 0
    assert again.read_bytes() == apple.read_bytes()


def test_the_server_draws_the_same_pixels_while_three_other_jobs_run(
    apple: Path, server: Server, tmp_path: Path
) -> None:
    out = tmp_path / "served.png"
    with server.client() as ada:
        others = [ada.post("/v1/jobs", json={"prompt": f"a rocket --seed {n} --steps 80"}).json() for n in range(3)]
        flags = ["--out", str(out), "--server", server.url]
        done = mezzotint("imagine", "a red apple --seed 7", *flags, MEZZOTINT_TOKEN=server.token())
        assert done.returncode == 0, done.stderr
        for other in others:
            ada.delete(f"/v1/jobs/{other['id']}")
    with Image.open(out) as served, Image.open(apple) as drawn:
        assert served.tobytes() == drawn.tobytes()


@pytest.mark.parametrize(
    ("prompt", "code"),
    [("a cat --steps 81", "steps_over_budget"), ("", "prompt_empty"), ("a cat --sref x", "parameter_unsupported")],
)
def test_a_refused_prompt_exits_with_4_and_leaves_no_file(prompt: str, code: str, tmp_path: Path) -> None:
    done = mezzotint("imagine", prompt, "--out", str(tmp_path / "a.png"))
    assert done.returncode == 4
    assert code in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_servers_refusal_exits_with_4_and_a_wrong_token_with_5(server: Server, tmp_path: Path) -> None:
    flags = ("--out", str(tmp_path / "a.png"), "--server", server.url)
    done = mezzotint("imagine", "a cat --steps 99", *flags)
    assert (done.returncode, "steps_over_budget" in done.stderr) == (4, True)
    done = mezzotint("imagine", "a cat", *flags, "--token", "nonsense")
    assert (done.returncode, "Pass --token" in done.stderr) == (5, True)


def test_an_interrupted_imagine_cancels_its_job(server: Server, tmp_path: Path) -> None:
    prompt = "an interrupted apple --steps 80"
    flags = ["--out", str(tmp_path / "a.png"), "--server", server.url, "--token", server.token("walker")]
    command = [MEZZOTINT, "imagine", prompt, *flags]
    with server.client("walker") as walker:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        job = None
        while job is None and process.poll() is None:
            jobs = walker.get("/v1/jobs", params={"limit": 20}).json()["jobs"]
            job = next((one for one in jobs if "an interrupted" in one["prompt"] and one["step"] > 1), None)
        assert job is not None
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[1]
        assert process.returncode == 130
        assert f"job {job['id']} cancelled" in told
        assert "Traceback" not in told
        assert walker.get(f"/v1/jobs/{job['id']}").json()["state"] == "cancelled"


@pytest.mark.parametrize("module", ["typer\n", "sqlalchemy\n", "mezzotint.gateway.app\n"])
def test_ctrl_c_leaves_no_trace_while_the_command_is_still_loading(module: str) -> None:
    """Python tells which modules it loads; the signal comes amid them."""
    command = [sys.executable, "-X", "importtime", "-m", "mezzotint", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if line.endswith(module):
                    break
            process.send_signal(signal.SIGINT)
            told = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    assert process.returncode == 130
    assert "mezzotint: interrupted" in told
    assert "Traceback" not in told


def test_a_stopped_server_ends_its_open_streams_without_a_trace(tmp_path: Path) -> None:
    with served(tmp_path / "data", "--dev", is_installed=True) as server, server.client("dev") as dev:
        job = dev.post("/v1/jobs", json={"prompt": "a red apple --steps 80"}).json()
        with dev.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
            lines = stream.iter_lines()
            next(lines)
            server.process.send_signal(signal.SIGINT)
            assert [line for line in lines if line.startswith("event: succeeded")] == []
        assert server.process.wait(60) == 0
        log = server.log.read_text()
    assert "stopping" in log
    assert "Traceback" not in log


def test_choices_give_a_file_each(server: Server, tmp_path: Path) -> None:
    flags = ("--out", str(tmp_path / "x.png"), "--server", server.url)
    done = mezzotint("imagine", "a {red, green} apple --steps 2", *flags)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["x-1.png", "x-2.png"]


@pytest.mark.parametrize("out", ["a.gif", "no/such/folder/a.png"])
def test_a_bad_output_is_named_before_any_work(out: str, tmp_path: Path) -> None:
    done = mezzotint("imagine", "a cat", "--out", str(tmp_path / out))
    assert done.returncode == 1
    assert "output_unwritable" in done.stderr


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = mezzotint("imagine", "a cat", "--out", str(tmp_path / "a.png"), "--server", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "server_unreachable" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_occupied_port_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = mezzotint("serve", "--port", port, "--data", str(tmp_path / "data"))
    assert done.returncode == 1
    assert port in done.stderr
    assert "port_in_use" in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("damage", "code"), [("missing", "model_missing"), ("cut", "model_corrupt")])
@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("imagine", "a cat", "--out", "a.png")])
def test_a_bad_weights_file_is_named_and_nothing_is_written(
    damage: str, code: str, command: tuple[str, ...], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(files.locate("starter"), tmp_path / "model"))
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    if damage == "missing":
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:-1])
    data = tmp_path / "data"
    done = subprocess.run(
        [MEZZOTINT, *command, "--model", str(folder)],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1
    assert str(weights) in done.stderr
    assert code in done.stderr
    assert "Traceback" not in done.stderr
    assert not data.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_second_server_on_the_same_data_is_refused(server: Server) -> None:
    done = mezzotint("serve", "--port", "0", "--data", str(server.data))
    assert (done.returncode, "data_folder_busy" in done.stderr) == (1, True)


def test_dev_is_refused_beyond_loopback(tmp_path: Path) -> None:
    done = mezzotint("serve", "--dev", "--host", "0.0.0.0", "--port", "0", "--data", str(tmp_path / "data"))
    assert (done.returncode, "loopback" in done.stderr) == (2, True)


def test_token_prints_the_token_alone(server: Server) -> None:
    done = mezzotint("token", "--data", str(server.data), "--tenant", "bob", "--tier", "free")
    assert done.stdout.count(".") == 2
    assert len(done.stdout.split()) == 1


@pytest.mark.parametrize("flags", [("--tenant", "a b", "--tier", "free"), ("--tenant", "bob", "--tier", "gold")])
def test_a_bad_tenant_or_tier_is_refused(flags: tuple[str, ...], tmp_path: Path) -> None:
    done = mezzotint("token", "--data", str(tmp_path), *flags)
    assert done.returncode != 0
    assert done.stdout == ""


def test_a_server_whose_database_is_away_or_damaged_says_so_before_it_announces_itself(tmp_path: Path) -> None:
    flags = ("serve", "--port", "0", "--data", str(tmp_path))
    away = mezzotint(*flags, "--no-worker", "--database", "postgresql://ada:private@127.0.0.1:9/x")
    (tmp_path / "mezzotint.db").write_bytes(b"no database, but some other file of a user\n" * 100)
    for done, name in ((away, "127.0.0.1:9/x"), (mezzotint(*flags), str(tmp_path / "mezzotint.db"))):
        assert done.returncode == 1
        assert "[store_unusable]" in done.stderr
        assert name in done.stderr
        assert "serves on" not in done.stdout
        assert "Traceback" not in done.stderr


def test_doctor_knows_its_own_server_and_names_stores_that_are_away(server: Server) -> None:
    port = server.url.rpartition(":")[2]
    beside = mezzotint("doctor", "--data", str(server.data), "--port", port)
    assert beside.returncode == 0, beside.stdout
    assert f"a Mezzotint server answers at {port}" in beside.stdout
    away = mezzotint(
        *("doctor", "--data", str(server.data), "--port", "0", "--database", "postgresql://ada:private@127.0.0.1:9/x"),
        *("--objects", "s3://pictures/x"),
        AWS_ENDPOINT_URL="http://127.0.0.1:9",
        AWS_ACCESS_KEY_ID="a",
        AWS_SECRET_ACCESS_KEY="private",
    )
    assert away.returncode == 1
    assert "127.0.0.1:9/x" in away.stdout
    assert "s3://pictures/x" in away.stdout
    assert "private" not in away.stdout + away.stderr


def test_doctor_finds_a_healthy_machine_and_names_what_is_broken(tmp_path: Path) -> None:
    well = mezzotint("doctor", "--data", str(tmp_path / "data"), "--port", "0")
    assert well.returncode == 0, well.stdout
    assert "torch" in well.stdout
    assert "mezzotint-starter" in well.stdout
    assert "graphic (finished, upload); text (finished)" in well.stdout, "the image filter's classifiers"
    assert not (tmp_path / "data").exists()
    ill = mezzotint("doctor", "--model", "/no/such/model", "--port", "0")
    assert ill.returncode == 1
    assert "FAIL" in ill.stdout
    assert "-> " in ill.stdout
