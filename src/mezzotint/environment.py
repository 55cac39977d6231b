"""The environment of this process and of those that it starts: what libraries read there once, what children inherit.

`config.py` reads the settings from it; no other file touches it.
"""

import os
from pathlib import Path

RAY_SETTINGS = {
    "RAY_agent_register_timeout_ms": 180_000,
    "RAY_raylet_start_wait_time_s": 180,
    "RAY_gcs_server_port_wait_time_s": 120,
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": 180,
    "RAY_worker_register_timeout_seconds": 180,
    "RAY_prestart_worker_first_driver": 0,
    "RAY_worker_niceness": 0,
}
"""Ray's processes wait for each other at their start for 15 to 30 s by default, and end where a busy machine is slower.
Ray keeps processes ready for tasks, of which a fleet has none, and runs actors with `nice` 15."""


def harmless_environment() -> dict[str, str]:
    """The variables that a program needs to run at all, without any that may hold a secret."""
    needed = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "LANG")
    return {name: os.environ[name] for name in needed if name in os.environ}


def environment_of_children(settings: dict[str, str]) -> dict[str, str]:
    """This process's environment with other settings, for processes of one site on this machine.

    Settings are left out that say where one server is reached: several would meet there.
    """
    own = ("HOST", "PORT", "PUBLIC_URL", "ROOT_PATH", "ALLOWED_HOSTS", "WORKER", "WORKER_METRICS_PORT", "DEV")
    left_out = {f"MEZZOTINT_{name}" for name in own}
    return {name: value for name, value in os.environ.items() if name.upper() not in left_out} | settings


def wait_passively() -> None:
    """Let idle compute threads sleep. Call it before torch is imported; a choice made outside is kept.

    OpenMP's threads spin while they wait for each other; on a machine that does anything else (a gateway, a second
    process) each pass then takes many times as long: measured 15 s instead of 2 s for one picture on two busy cores.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def set_device_environment() -> None:
    """Set what CUDA's libraries read once. Call it where a process starts; a choice made outside is kept.

    Expandable segments leave fewer holes in a GPU's memory when pictures of many sizes come; cuBLAS computes the same
    bits each time only with workspaces of a fixed size.
    """
    if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:  # its older name
        os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def set_ray_environment(*, is_loopback: bool, token_file: Path | None = None) -> None:
    """Set what Ray reads once, for this process and those that it starts. Call it before ray is imported.

    is_loopback: Ray listens on 127.0.0.1 and nowhere else. That is what it does by itself on Windows and macOS, and the
    variable that switches it there works on Linux, too. token_file: of a cluster that this machine starts: nobody is
    let in without its token; None: what the environment says holds. A mode that was chosen outside is kept.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if is_loopback:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        # At SIGTERM a node waits 30 s for its work to move to another; a cluster of this machine has no other.
        os.environ.setdefault("RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S", "0")
    if token_file is not None and "RAY_AUTH_MODE" not in os.environ:
        os.environ.pop("RAY_AUTH_TOKEN", None)  # it would come before the file
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_file)}
    for name, value in RAY_SETTINGS.items():
        os.environ.setdefault(name, str(value))


def cublas_workspace() -> str:
    """Workspaces of cuBLAS in this process, as its environment says; empty: the library's own choice."""
    return os.environ.get("CUBLAS_WORKSPACE_CONFIG", "")
