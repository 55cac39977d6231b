"""The whole service on PostgreSQL and S3, as `mezzotint serve` starts it."""

from pathlib import Path

import httpx

from tests.acceptance.conftest import finished, served
from tests.servers import S3, Postgres


def test_a_picture_is_drawn_kept_and_found_again_after_a_restart(postgres: Postgres, s3: S3, tmp_path: Path) -> None:
    environment = {"MEZZOTINT_DATABASE": postgres.database(), **s3.environment_of_clients}
    flags = ("--objects", "s3://media/served")
    with served(tmp_path / "data", *flags, **environment) as server, server.client() as ada:
        job = finished(ada, ada.post("/v1/jobs", json={"prompt": "a red apple --seed 7 --steps 12"}).json())
        assert (job["state"], job["step"]) == ("succeeded", 12)
        (image,) = job["images"]
        assert httpx.get(server.url + image["png_url"]).content.startswith(b"\x89PNG")
        assert server.stop() == 0
    assert not list((tmp_path / "data").rglob("*.png")), "pictures lie in the bucket alone"
    with served(tmp_path / "data", *flags, **environment) as server, server.client() as ada:
        assert ada.get("/v1/images").json()["images"][0]["job_id"] == job["id"]
        assert httpx.get(server.url + image["url"]).status_code == 200


def test_a_password_in_the_database_address_is_not_logged(tmp_path: Path) -> None:
    import os
    import subprocess

    from tests.acceptance.conftest import MEZZOTINT
    from tests.servers import free_port

    address = f"postgresql://svc:hunter2@127.0.0.1:{free_port()}/none"
    done = subprocess.run(
        [MEZZOTINT, "serve", "--port", "0", "--data", str(tmp_path / "data")],
        env={**os.environ, "MEZZOTINT_DATABASE": address},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "[store_unusable]" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
