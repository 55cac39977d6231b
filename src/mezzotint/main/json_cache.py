"""A cache in a JSON file, for findings about models: verdicts on merged passes, maps from latents to previews."""

import json
from collections import UserDict
from pathlib import Path

import structlog

log = structlog.get_logger()


class JsonCache(UserDict[str, str]):
    """A mapping that is written to its file with every new entry. When the file cannot be read or written, the next
    process finds the entries again."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        try:
            kept = json.loads(path.read_bytes()) if path.exists() else {}
        except (OSError, ValueError):
            log.warning("file unreadable, made anew", path=str(path))
            kept = {}
        if isinstance(kept, dict):
            self.data.update({key: value for key, value in kept.items() if isinstance(value, str)})

    def __setitem__(self, key: str, found: str) -> None:
        if self.data.get(key) == found:
            return
        self.data[key] = found
        aside = self._path.with_suffix(".new")
        try:
            aside.write_text(json.dumps(self.data), encoding="utf-8")
            aside.replace(self._path)
        except OSError as error:
            log.warning("file not kept", path=str(self._path), why=error.strerror)
