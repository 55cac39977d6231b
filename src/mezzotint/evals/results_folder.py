"""The folder of results: the last run of each evaluation, its report, and the runs that were accepted.

safety.json, safety.html       the last run
accepted/safety.json           the run that later ones are compared with
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from mezzotint.evals.report import JudgedResult, write_report
from mezzotint.evals.result import EvalResult, ResultInvalid, ResultUnwritable, Suite, read_result


class ResultsFolder:
    """Raises ResultUnwritable where the folder cannot be written, ResultInvalid where a file of it cannot be read."""

    def __init__(self, folder: Path) -> None:
        self.path = folder

    def find_accepted(self, suite: Suite, inputs: Mapping[str, str]) -> EvalResult | None:
        """The accepted run; else the shipped one, where it was made with the model that `inputs` names; else None."""
        path = self.path / "accepted" / f"{suite}.json"
        if path.exists():
            return read_result(path)
        shipped = find_shipped(suite)
        return shipped if shipped and shipped.inputs.get("model") == inputs.get("model") else None

    def find_threshold(self, scorer: str) -> float | None:
        """The threshold of the last calibration of this scorer, or of the shipped one."""
        path = self.path / f"{Suite.CALIBRATION}.json"
        for found in (read_result(path) if path.exists() else None, find_shipped(Suite.CALIBRATION)):
            if found is not None and found.inputs.get("scorer") == scorer:
                return found.figures["threshold"].value
        return None

    def save(self, judged: Sequence[JudgedResult], name: str) -> Path:
        """Keep each result and one report of all. Returns the report's path."""
        for one in judged:
            self._write(self.path / f"{one.result.suite}.json", one.result.model_dump_json(indent=1) + "\n")
        report = self.path / f"{name}.html"
        self._write(report, write_report(judged, f"Mezzotint evaluation: {name}"))
        return report

    def read_last(self, suite: Suite) -> EvalResult:
        """The last run. Raises: ResultInvalid where there is none."""
        last = self.path / f"{suite}.json"
        if not last.exists():
            raise ResultInvalid(f"{last} does not exist: the evaluation {suite} was not run in this folder")
        return read_result(last)

    def accept(self, suite: Suite) -> Path:
        """Make the last run of the suite the accepted one. Raises: ResultInvalid where there is none."""
        result = self.read_last(suite)
        path = self.path / "accepted" / f"{suite}.json"
        self._write(path, result.model_dump_json(indent=1) + "\n")
        return path

    def _write(self, path: Path, text: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".partial")
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            raise ResultUnwritable(f"{path} cannot be written: {error}") from error


def find_shipped(suite: Suite) -> EvalResult | None:
    """The accepted run of the starter model that the package brings, where it brings one."""
    path = Path(str(files("mezzotint.evals").joinpath("baselines", f"{suite}.json")))
    return read_result(path) if path.exists() else None
