"""Ask an operator's guard model about texts that the filter is uncertain of."""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import httpx
import structlog

from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.policy.safety.guard_formats import (
    GuardAnswer,
    GuardAnswerInvalid,
    GuardFormat,
    build_request,
    read_answer,
)
from mezzotint.policy.safety.text_verdict import UNNAMED_ABOUT, UNNAMED_HINT, TextStage, TextVerdict

log = structlog.get_logger()

MAX_REMEMBERED = 4096
"""Texts whose answers are kept."""
MAX_ANSWER = 64 * 1024
"""Bytes."""
AWAY_S = 5.0
"""Time after a failure in which the guard is not asked again: requests would each wait for its timeout."""
AWAY = Refusal(
    code=RefusalCode.FILTER_UNAVAILABLE,
    message="The guard that looks at prompts does not answer.",
    hint="Try again in some seconds.",
    retry_after_s=int(AWAY_S),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSettings:
    """url: of the API, such as http://127.0.0.1:8000/v1. is_open: whether the filter's own verdict stands while the
    guard is away; else prompts that it is to decide are refused. timeout_s: for one answer.
    """

    url: str
    format: GuardFormat
    model: str
    key: str | None = None
    timeout_s: float = 2.0
    is_open: bool = True


@dataclass(slots=True)
class GuardClient:
    """The client of a guard for a process's event loop. clock: seconds."""

    settings: GuardSettings
    clock: Callable[[], float] = time.monotonic
    _answers: OrderedDict[str, GuardAnswer] = field(default_factory=OrderedDict)
    _away_until: float = 0.0
    _http: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Bearer {self.settings.key}"} if self.settings.key else {}
        # the key goes to this address alone: no redirect is followed, no proxy of the environment is used
        self._http = httpx.AsyncClient(headers=headers, timeout=self.settings.timeout_s, trust_env=False)

    async def close(self) -> None:
        await self._http.aclose()

    async def review(self, prompt: str, verdict: TextVerdict) -> TextVerdict | Refusal:
        """The guard's verdict, or where it is away what the settings say: the verdict as it was, or a refusal."""
        answer = self._answers.get(prompt)
        if answer is None:
            answer = await self._ask(prompt)
        if answer is None:
            return verdict if self.settings.is_open or verdict.is_blocked else AWAY
        return apply_answer(verdict, answer)

    async def _ask(self, prompt: str) -> GuardAnswer | None:
        """None: it does not answer, or not as it should."""
        if self.clock() < self._away_until:
            return None
        try:
            # httpx's own times are of each part that arrives: a guard that sends slowly would never reach them
            async with asyncio.timeout(self.settings.timeout_s):
                body = await self._post(prompt)
            answer = read_answer(self.settings.format, body)
        except (httpx.HTTPError, GuardAnswerInvalid, ValueError, TimeoutError, RecursionError) as error:
            self._away_until = self.clock() + AWAY_S
            log.warning("guard_away", url=self.settings.url, reason=str(error) or type(error).__name__)
            return None
        self._answers[prompt] = answer
        if len(self._answers) > MAX_REMEMBERED:
            self._answers.popitem(last=False)
        return answer

    async def _post(self, prompt: str) -> object:
        path, body = build_request(self.settings.format, self.settings.model, prompt)
        read = bytearray()
        async with self._http.stream("POST", f"{self.settings.url.rstrip('/')}/{path}", json=body) as response:
            response.raise_for_status()
            async for chunk in response.aiter_bytes():
                read += chunk
                if len(read) > MAX_ANSWER:
                    raise GuardAnswerInvalid(f"the guard's answer is longer than {MAX_ANSWER} bytes")
        answer: object = json.loads(read)
        return answer


def apply_answer(verdict: TextVerdict, answer: GuardAnswer) -> TextVerdict:
    """The verdict as the guard changes it: its word stands, and its scores are kept where it tells any."""
    category = SafetyCategory(answer.category) if answer.category in list(SafetyCategory) else None
    return replace(
        verdict,
        verdict=answer.verdict,
        category=answer.category,
        about=category.about if category else UNNAMED_ABOUT,
        hint=category.hint if category else UNNAMED_HINT,
        stage=TextStage.GUARD,
        scores={**verdict.scores, **answer.scores},
        is_uncertain=False,
    )
