"""The command `mezzotint` in a process that has its libraries from the start.

Loading torch, transformers and diffusers takes 6 seconds of a core, and tests start some fifty servers and workers. A
server process of multiprocessing's loads them once and forks; the child runs the command's own entry point with its own
arguments, environment and log. Tests of what is loaded, or of the installed command itself, start that instead.
"""

import multiprocessing
import os
import signal
import site
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

LOADED = [
    "mezzotint.main.serve",
    "mezzotint.main.worker",
    "mezzotint.engine.hub",
    "mezzotint.engine.models.read_texts",
    "mezzotint.engine.tasks",
    "mezzotint.engine.upscaler",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
    "diffusers.pipelines.auto_pipeline",
    "transformers.models.bert.modeling_bert",
]
"""With what they load in turn: all of a running server's modules but a few. Not onnxruntime: it starts a thread."""


@dataclass(frozen=True)
class ForkedProcess:
    """As subprocess.Popen shows a process."""

    process: BaseProcess

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self, timeout_s: float | None = None) -> int:
        self.process.join(timeout_s)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired("mezzotint", timeout_s or 0)
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def fork_command(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> ForkedProcess:
    """Start `mezzotint ARGUMENTS`; both of its outputs go to the end of the log."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    umask = os.umask(0)
    os.umask(umask)
    process = context.Process(target=_run, args=(list(arguments), dict(environment), log, umask))
    process.start()
    return ForkedProcess(process)


def _run(arguments: list[str], environment: dict[str, str], log: Path, umask: int) -> None:
    """Give the process what Python gives to one that it starts, then run the command."""
    from mezzotint.__main__ import main

    assert len(os.listdir(f"/proc/{os.getppid()}/task")) == 1, "locks of a thread would stay locked in the child"
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    site.execsitecustomize()  # type: ignore[attr-defined]
    sys.argv = ["mezzotint", *arguments]
    main()
