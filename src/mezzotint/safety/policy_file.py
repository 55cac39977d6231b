"""Read the safety policy from its file."""

import tomllib
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from mezzotint.domain.errors import SettingInvalid
from mezzotint.policy.safety.document import SafetyPolicy


class SafetyPolicyInvalid(SettingInvalid):
    hint = "See docs/how-to/change-the-safety-policy.md for the form of the file."


def load_policy(path: Path | None = None) -> SafetyPolicy:
    """Load the policy of the file, or the built-in one.

    Raises: SafetyPolicyInvalid, naming the file and what is wrong.
    """
    source = path or files("mezzotint.safety").joinpath("policy.toml")
    try:
        return SafetyPolicy.model_validate(tomllib.loads(source.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SafetyPolicyInvalid(f"{source}: {place or 'the file'}: {first['msg']}") from error
    except (OSError, ValueError) as error:  # not readable, not UTF-8, not TOML
        raise SafetyPolicyInvalid(f"{source}: {error}") from error
