"""Run a site until a signal, and say what goes on."""

import os
import shlex
import signal
from pathlib import Path

from mezzotint.main.data_folder import lock_data_folder
from mezzotint.main.dev_up.site import Site


def run_site(folder: Path, port: int, num_workers: int, pools: Path | None = None) -> None:
    """Start all servers, watch them until SIGINT or SIGTERM, end them in order. Raises: StartError.

    pools: the file of a fleet that draws in the place of worker processes.
    """
    with lock_data_folder(folder / "mezzotint"):
        if os.getuid() == 0:
            folder.chmod(0o711)  # PostgreSQL, which does not run as root, passes through
        site = Site(folder, say)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        try:
            site.start(port, num_workers, pools)
            print_start_message(site, num_workers)
            site.watch()
        except KeyboardInterrupt:
            say("ending everything; a second Ctrl-C kills it")
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda number, frame: site.kill())
            site.stop()
        say(f"everything has ended; {folder} keeps its data")


def print_start_message(site: Site, num_workers: int) -> None:
    file = site.write_environment()
    drawing = "1 worker" if num_workers == 1 else f"{num_workers} workers"
    looks = ["mezzotint workers list"]
    if site.fleet is not None:
        drawing = f"the fleet of {site.fleet.file}"
        looks = [
            "mezzotint fleet status       # pools, workers, and why there are so many",
            "mezzotint fleet scale local 2    # or more jobs: their number follows what waits",
            f"mezzotint fleet up {shlex.quote(str(site.fleet.file))}    # after a change of the file",
        ]
    say(
        f"Mezzotint runs on {site.url} with {drawing}; the first picture waits until a model is loaded.\n"
        f"  data  {site.folder}; the log of each process is in its folder there\n"
        f"Next: open {site.url}/#token={site.make_token()}\n"
        "or in another terminal:\n"
        f"  . {file}\n"
        f"  mezzotint imagine 'a red apple --seed 7' --out apple.png --server {site.url}\n"
        + "".join(f"  {line}\n" for line in looks)
        + "Ctrl-C ends all of it."
    )


def say(message: str) -> None:
    print(message, flush=True)  # noqa: T201 - the command's output
