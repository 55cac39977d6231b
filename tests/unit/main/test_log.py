import logging
import re

import pytest
import structlog

from mezzotint.config import read_settings
from mezzotint.main.log import configure_log


@pytest.mark.parametrize("as_json", [False, True])
def test_a_logged_error_tells_where_it_was_but_no_values_of_variables(
    as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    def draw(prompt: str) -> None:
        raise ValueError("no such file")

    before = structlog.get_config()
    configure_log(read_settings(log_json=as_json))
    try:
        draw("-".join(("private", "words")))
    except ValueError as error:
        structlog.get_logger().error("run failed", exc_info=error)
    finally:
        structlog.configure(**before)
    told = capsys.readouterr().err
    assert "no such file" in told
    assert "in draw" in told
    assert "private-words" not in told


def test_lines_of_libraries_look_like_ours(capsys: pytest.CaptureFixture[str]) -> None:
    before, handlers = structlog.get_config(), logging.root.handlers[:]
    logging.root.handlers = []
    try:
        configure_log(read_settings())
        logging.getLogger("uvicorn.error").warning("one of theirs")
        structlog.get_logger().warning("one of ours")
    finally:
        structlog.configure(**before)
        logging.root.handlers = handlers
    theirs, ours = capsys.readouterr().err.splitlines()
    form = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[warning  \] one of (theirs|ours)")
    assert form.match(theirs)
    assert form.match(ours)
