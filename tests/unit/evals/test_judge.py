"""The judge against a server that speaks OpenAI's chat completions and grades what it sees: brighter is better."""

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mezzotint.evals.gates import GateOutcome, judge, load_gates
from mezzotint.evals.pictures.aesthetic import measure_aesthetic
from mezzotint.evals.pictures.drawn import DrawnPicture
from mezzotint.evals.pictures.judge import CRITERIA, Judge, JudgeUnusable, open_judge
from mezzotint.evals.result import EvalResult


class JudgeServer(ThreadingHTTPServer):
    """answers: statuses to give before the first real answer. body: None, or a content in place of the grades."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[int] = []
        self.content: str | None = None
        self.takes_schema = True
        self.requests: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: JudgeServer

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        if self.path != "/v1/chat/completions" or self.headers["Authorization"] != "Bearer secret":
            return self.answer(401, {"error": {"message": "no such key"}})
        if self.server.answers:
            return self.answer(self.server.answers.pop(0), {"error": {"message": "busy"}})
        if "response_format" in request and not self.server.takes_schema:
            return self.answer(400, {"error": {"message": "response_format is not supported"}})
        content = self.server.content or json.dumps(dict.fromkeys(CRITERIA, grade(request)))
        return self.answer(200, {"choices": [{"message": {"role": "assistant", "content": content}}]})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if status == 429:
            self.send_header("Retry-After", "7")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def grade(request: dict[str, Any]) -> int:
    url = request["messages"][1]["content"][0]["image_url"]["url"]
    picture = Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,"))))
    return 1 + int(np.asarray(picture.convert("L")).mean() // 52)


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with JudgeServer() as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def asked(server: JudgeServer, waits: list[float]) -> Judge:
    opened = open_judge(server.url, "some-vlm", "secret")
    opened.wait = waits.append
    return opened


def picture(level: int, score: float | None = None) -> DrawnPicture:
    return DrawnPicture(id=str(level), prompt="a grey", picture=Image.new("RGB", (32, 32), (level,) * 3), score=score)


def test_a_picture_is_sent_with_the_rubric_and_graded(server: JudgeServer, asked: Judge) -> None:
    assert [asked.vote(picture(level).picture, 1).overall for level in (10, 130, 250)] == [1, 3, 5]
    request = server.requests[0]
    assert request["model"] == "some-vlm"
    assert all(name in request["messages"][0]["content"] for name in CRITERIA)
    assert request["response_format"]["json_schema"]["schema"]["required"] == list(CRITERIA)


def test_a_busy_judge_is_asked_again_after_the_time_it_names(
    server: JudgeServer, asked: Judge, waits: list[float]
) -> None:
    server.answers = [429, 503]
    assert asked.vote(picture(250).picture, 1) is not None
    assert waits == [7, 4]


def test_a_judge_that_stays_busy_ends_the_evaluation(server: JudgeServer, asked: Judge) -> None:
    server.answers = [503] * 3
    with pytest.raises(JudgeUnusable, match="503"):
        asked.vote(picture(250).picture, 1)


def test_a_judge_without_schemas_is_asked_without(server: JudgeServer, asked: Judge) -> None:
    server.takes_schema = False
    assert asked.vote(picture(250).picture, 1) is not None
    assert asked.vote(picture(250).picture, 2) is not None
    assert ["response_format" in request for request in server.requests] == [True, False, False]


def test_a_wrong_key_and_a_server_that_is_away_are_told(server: JudgeServer) -> None:
    with pytest.raises(JudgeUnusable, match="401"):
        open_judge(server.url, "some-vlm", "wrong").vote(picture(1).picture, 1)
    away = open_judge("http://127.0.0.1:9/v1", "some-vlm", None)
    away.wait = lambda seconds: None
    with pytest.raises(JudgeUnusable, match="does not answer"):
        away.vote(picture(1).picture, 1)
    with pytest.raises(JudgeUnusable, match="no http"):
        open_judge("judge.example", "some-vlm", None)


@pytest.mark.parametrize(
    ("content", "overall"),
    [
        ('Here: ```json\n{"composition": 2, "sharpness": 2, "coherence": 3, "style": 1}\n``` Bye', 2.0),
        ('{"composition": 6, "sharpness": 2, "coherence": 3, "style": 1}', None),
        ('{"composition": 2.5, "sharpness": 2, "coherence": 3, "style": 1}', None),
        ('{"composition": 2}', None),
        ("I cannot grade this.", None),
        ("}{", None),
        ('{"a": ' + "[" * 20_000 + "}", None),
    ],
)
def test_only_whole_grades_from_one_to_five_count(
    server: JudgeServer, asked: Judge, content: str, overall: float | None
) -> None:
    server.content = content
    vote = asked.vote(picture(10).picture, 1)
    assert (vote and vote.overall) == overall


def measure(asked: Judge | None, num: int = 20) -> EvalResult:
    pictures = [picture(level, score=1 + level // 52) for level in np.linspace(0, 255, num).astype(int).tolist()]
    return measure_aesthetic(pictures, inputs={}, judge=asked, num_votes=2)


def test_grades_are_compared_with_those_of_people(server: JudgeServer, asked: Judge) -> None:
    figures = measure(asked).figures
    assert figures["judge.spearman"].value == pytest.approx(1)
    assert figures["judge.weighted_kappa"].value == pytest.approx(1)
    assert figures["judge.overall"].num == 20
    assert len(server.requests) == 40


def test_under_five_hundred_pictures_the_gate_is_withheld_with_the_interval_and_the_reason(asked: Judge) -> None:
    verdicts = {verdict.figure: verdict for verdict in judge(measure(asked), load_gates(), measure(asked))}
    withheld = verdicts["judge.overall"]
    assert withheld.outcome is GateOutcome.WITHHELD
    assert withheld.reason.startswith("measured on 20; the gate needs 500: the value lies between ")


def test_with_five_hundred_pictures_worse_grades_fail_the_gate(asked: Judge) -> None:
    good = measure(asked)
    of_many = good.figures["judge.overall"].model_copy(update={"num": 500})
    worse = of_many.model_copy(update={"value": (of_many.value or 0) - 0.2})
    bad = good.model_copy(update={"figures": {**good.figures, "judge.overall": worse}})
    outcomes = {verdict.figure: verdict.outcome for verdict in judge(bad, load_gates(), good)}
    assert outcomes["judge.overall"] is GateOutcome.FAILED


def test_answers_without_grades_are_counted(server: JudgeServer, asked: Judge) -> None:
    server.content = "no"
    figures = measure(asked, 3).figures
    assert figures["judge.votes_without_grades"].value == 1
    assert "judge.overall" not in figures


def test_without_a_judge_the_result_says_that_it_knows_no_beauty() -> None:
    result = measure(None)
    assert set(result.figures) == {"sharpness", "contrast", "colourfulness", "noise", "entropy"}
    assert any("statistics of pixels" in note for note in result.notes)
