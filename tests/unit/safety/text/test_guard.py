"""An operator's guard model decides where the filter is uncertain; here a server that speaks its protocol does."""

import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio
import httpx
import pytest

from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.policy.safety.guard_formats import GuardFormat
from mezzotint.policy.safety.text_verdict import TextStage, TextVerdict
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.safety.text.guard import AWAY_S, GuardClient, GuardSettings
from tests.making import make_text_verdict

pytestmark = pytest.mark.anyio


@dataclass
class GuardServer:
    """answer: the body for a request's body; bytes are sent as they are. asked: path, key and body of each request."""

    answer: Callable[[Any], Any]
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server() -> Iterator[GuardServer]:
    guard = GuardServer(answer=lambda body: b"")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            guard.asked.append((self.path, self.headers.get("Authorization", ""), body))
            answer = guard.answer(body)
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(200 if content else 500)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        guard.url = f"http://127.0.0.1:{http.server_port}/v1"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield guard
        http.shutdown()
        thread.join()


def say(text: str) -> Callable[[Any], Any]:
    """A chat endpoint that gives this answer."""
    return lambda body: {
        "id": "c1",
        "object": "chat.completion",
        "model": body["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
    }


def moderate(flagged: bool, **scores: float) -> Callable[[Any], Any]:
    """OpenAI's moderation endpoint; underlines in names stand for slashes."""
    named = {name.replace("_", "/"): score for name, score in scores.items()}
    categories = {name: score > 0.5 for name, score in named.items()}
    result = {"flagged": flagged, "categories": categories, "category_scores": named}
    return lambda body: {"id": "modr-1", "model": body["model"], "results": [result]}


HARMLESS = {
    GuardFormat.QWEN3GUARD: say("Safety: Safe\nCategories: None"),
    GuardFormat.LLAMA_GUARD: say("safe"),
    GuardFormat.SHIELDGEMMA: say("No"),
    GuardFormat.OPENAI: moderate(False),
}
UNEXPECTED = [
    b"",
    b"{",
    b"[]",
    b'{"choices": []}',
    b'"' + b"x" * 70_000 + b'"',
    json.dumps(say("Well")({"model": ""})),
    b"[" * 60_000,
]


async def review(
    server: GuardServer, format: GuardFormat, prompt: str = "a lake", verdict: TextVerdict | None = None
) -> TextVerdict:
    client = GuardClient(GuardSettings(url=server.url, format=format, model="guard", key="secret"))
    try:
        reviewed = await client.review(prompt, verdict or make_text_verdict(is_uncertain=True))
    finally:
        await client.close()
    assert isinstance(reviewed, TextVerdict)
    return reviewed


@pytest.mark.parametrize(
    ("format", "answer", "verdict", "category"),
    [
        (GuardFormat.QWEN3GUARD, say("Safety: Safe\nCategories: None"), "allow", ""),
        (GuardFormat.QWEN3GUARD, say("Safety: Unsafe\nCategories: Violent"), "block", "violence"),
        (GuardFormat.QWEN3GUARD, say("Safety: Controversial\nCategories: Unethical Acts"), "review", "any"),
        (GuardFormat.QWEN3GUARD, say("Safety: Unsafe\nCategories: Copyright Violation"), "allow", ""),
        (GuardFormat.QWEN3GUARD, say("Safety: Unsafe\nCategories: None"), "block", "any"),
        (GuardFormat.QWEN3GUARD, say("Safety: Unsafe\nCategories: PII, A New Class"), "block", "any"),
        (GuardFormat.LLAMA_GUARD, say("\n\nsafe"), "allow", ""),
        (GuardFormat.LLAMA_GUARD, say("unsafe\nS10,S1"), "block", "hate"),
        (GuardFormat.LLAMA_GUARD, say("unsafe\nS12,S4"), "block", "sexual_minors"),
        (GuardFormat.LLAMA_GUARD, say("unsafe\nS8"), "allow", ""),
        (GuardFormat.LLAMA_GUARD, say("unsafe\nS15"), "block", "any"),
        (GuardFormat.LLAMA_GUARD, say("unsafe"), "block", "any"),
        (GuardFormat.SHIELDGEMMA, say("Yes, because it seeks ..."), "block", "any"),
        (GuardFormat.SHIELDGEMMA, say("No."), "allow", ""),
        (GuardFormat.OPENAI, moderate(False, sexual=0.1, violence=0.2), "allow", ""),
        (GuardFormat.OPENAI, moderate(True, sexual=0.7, violence_graphic=0.9), "block", "violence"),
        (GuardFormat.OPENAI, moderate(True, sexual=0.9, sexual_minors=0.6), "block", "sexual_minors"),
        (GuardFormat.OPENAI, moderate(True, weapons=0.9), "block", "any"),
    ],
)
async def test_each_formats_answers_are_read(
    server: GuardServer, format: GuardFormat, answer: Callable[[Any], Any], verdict: str, category: str
) -> None:
    server.answer = answer
    reviewed = await review(server, format)
    assert (reviewed.verdict, reviewed.category) == (verdict, category)
    assert reviewed.stage is TextStage.GUARD


@pytest.mark.parametrize("format", list(GuardFormat))
async def test_the_guard_is_asked_by_its_model_and_key_about_the_prompt(
    server: GuardServer, format: GuardFormat
) -> None:
    server.answer = HARMLESS[format]
    await review(server, format, "a lake with {braces}")
    ((path, key, body),) = server.asked
    assert path == ("/v1/moderations" if format is GuardFormat.OPENAI else "/v1/chat/completions")
    assert key == "Bearer secret"
    assert body["model"] == "guard"
    text = body["input"] if format is GuardFormat.OPENAI else body["messages"][0]["content"]
    assert "a lake with {braces}" in text


async def test_the_guards_word_stands_over_the_filters_and_its_scores_are_kept(server: GuardServer) -> None:
    server.answer = moderate(False, hate=0.2)
    blocked = make_text_verdict(is_blocked=True, is_uncertain=True, scores={"sexual": 0.9})
    reviewed = await review(server, GuardFormat.OPENAI, verdict=blocked)
    assert reviewed.verdict is SafetyVerdict.ALLOW
    assert reviewed.refuse() is None
    assert reviewed.scores == {"sexual": 0.9, "hate": 0.2}


async def test_an_answer_is_remembered(server: GuardServer) -> None:
    server.answer = say("Safety: Unsafe\nCategories: Violent")
    client = GuardClient(GuardSettings(url=server.url, format=GuardFormat.QWEN3GUARD, model="guard"))
    for _ in range(3):
        await client.review("a lake", make_text_verdict())
    await client.close()
    assert len(server.asked) == 1
    assert server.asked[0][1] == ""


@pytest.mark.parametrize("answer", UNEXPECTED)
@pytest.mark.parametrize("is_open", [True, False])
async def test_a_guard_that_does_not_answer_as_it_should_is_away_and_the_setting_decides(
    server: GuardServer, answer: bytes | str, is_open: bool
) -> None:
    server.answer = lambda body: answer.encode() if isinstance(answer, str) else answer
    now = [100.0]
    settings = GuardSettings(url=server.url, format=GuardFormat.LLAMA_GUARD, model="guard", is_open=is_open)
    client = GuardClient(settings, clock=lambda: now[0])
    uncertain = make_text_verdict(is_uncertain=True)
    for _ in range(2):
        outcome = await client.review("a lake", uncertain)
        if is_open:
            assert outcome is uncertain
        else:
            assert isinstance(outcome, Refusal)
            assert outcome.code is RefusalCode.FILTER_UNAVAILABLE
    assert len(server.asked) == 1, "while it is away, requests do not wait for it"
    now[0] += AWAY_S
    server.answer = say("safe")
    reviewed = await client.review("a lake", uncertain)
    await client.close()
    assert isinstance(reviewed, TextVerdict)
    assert reviewed.stage is TextStage.GUARD


@pytest.mark.parametrize(
    ("format", "answer"),
    [
        (GuardFormat.SHIELDGEMMA, say("Not sure")),
        (GuardFormat.OPENAI, moderate(False, sexual=float("nan"))),
        (GuardFormat.OPENAI, moderate(False, sexual=10**400)),
    ],
)
async def test_words_and_scores_of_another_form_are_no_answer(
    server: GuardServer, format: GuardFormat, answer: Callable[[Any], Any]
) -> None:
    server.answer = answer
    uncertain = make_text_verdict(is_uncertain=True)
    assert await review(server, format, verdict=uncertain) is uncertain


async def test_a_guard_that_sends_its_answer_slowly_is_away_after_the_timeout() -> None:
    class Slow(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                await anyio.sleep(0.01)
                yield b""

    settings = GuardSettings(url="http://guard/v1", format=GuardFormat.LLAMA_GUARD, model="guard", timeout_s=0.05)
    client = GuardClient(settings)
    await client.close()
    client._http = httpx.AsyncClient(transport=httpx.MockTransport(lambda request: httpx.Response(200, stream=Slow())))
    uncertain = make_text_verdict(is_uncertain=True)
    with anyio.fail_after(30):
        assert await client.review("a lake", uncertain) is uncertain
    await client.close()


async def test_what_the_filter_blocks_stays_blocked_while_the_guard_is_away(server: GuardServer) -> None:
    settings = GuardSettings(url=server.url, format=GuardFormat.LLAMA_GUARD, model="guard", is_open=False)
    client = GuardClient(settings)
    blocked = make_text_verdict(is_blocked=True, is_uncertain=True)
    assert await client.review("a lake", blocked) is blocked
    await client.close()
