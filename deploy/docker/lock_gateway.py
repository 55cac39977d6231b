"""Writes gateway-requirements.txt: all that a gateway needs, pinned as in constraints.txt, without PyTorch.

Run it in an environment with the package installed; a test compares the file with it.
"""

import tomllib
from importlib.metadata import requires
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LEFT_OUT = frozenset({"torch", "diffusers", "transformers", "accelerate", "peft", "ray", "sentence-transformers"})
"""Only workers import them. The last is what the starter model's files ask for, which a gateway only lists."""
EXTRAS = ("postgres", "valkey")
NOTICE = "# made by lock_gateway.py from pyproject.toml and constraints.txt: change those, then run it\n"


def list_requirements() -> str:
    """The text of the file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for extra in EXTRAS for line in project["optional-dependencies"][extra]]
    names: set[str] = set()
    waiting = [*map(Requirement, [*project["dependencies"], *extras])]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name not in names | LEFT_OUT:
            names.add(name)
            waiting += [need for need in map(Requirement, requires(name) or []) if is_needed(need, one.extras)]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {canonicalize_name(line.partition("==")[0]): line for line in lines if "==" in line}
    return NOTICE + "\n".join(pins[name] for name in sorted(names)) + "\n"


def is_needed(requirement: Requirement, extras: set[str]) -> bool:
    """Whether a package needs it that was asked for with these extras, in a container of Linux."""
    marker = requirement.marker
    where = {**default_environment(), "sys_platform": "linux", "platform_system": "Linux"}
    return marker is None or any(marker.evaluate({**where, "extra": extra}) for extra in ("", *extras))


if __name__ == "__main__":
    (HERE / "gateway-requirements.txt").write_text(list_requirements())
