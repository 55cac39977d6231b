"""The engine's verdicts on merged passes, kept on disk: a layout is verified once per weights and kernels."""

import json
from collections import UserDict
from pathlib import Path

import structlog

log = structlog.get_logger()


class Verdicts(UserDict[str, str]):
    """A mapping that is written to its file with every new entry. A file that cannot be read or written costs
    verifications, nothing else."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        try:
            kept = json.loads(path.read_bytes()) if path.exists() else {}
        except (OSError, ValueError):
            log.warning("verdicts unreadable, made anew", path=str(path))
            kept = {}
        if isinstance(kept, dict):
            self.data.update({key: value for key, value in kept.items() if isinstance(value, str)})

    def __setitem__(self, key: str, verdict: str) -> None:
        if self.data.get(key) == verdict:
            return
        self.data[key] = verdict
        aside = self._path.with_suffix(".new")
        try:
            aside.write_text(json.dumps(self.data), encoding="utf-8")
            aside.replace(self._path)
        except OSError as error:
            log.warning("verdicts not kept", path=str(self._path), why=error.strerror)
