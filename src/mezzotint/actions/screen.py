"""Screen the texts of a request off the event loop: by the text filter, then by an operator's guard where in doubt."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from mezzotint.actions.tenant_threads import TenantThreads
from mezzotint.domain.ids import TenantId
from mezzotint.domain.refusal import Refusal
from mezzotint.domain.tier import Tier
from mezzotint.policy.safety.text_verdict import TextVerdict
from mezzotint.policy.safety.verdicts import SafetyVerdict

log = structlog.get_logger()
NUM_THREADS = 1
"""The heads hold the interpreter's lock for half of their time: a second thread judged no more prompts, and delayed the
event loop by twice as much."""
MAX_AT_ONCE = 1_000
"""Requests of one tenant that wait for their screening: its rate limit is reached before."""


class JudgeText(Protocol):
    def __call__(self, prompt: str, negative_prompt: str = "", tier: Tier = Tier.FREE) -> TextVerdict:
        """Compute a verdict, for some milliseconds."""
        ...


class Guard(Protocol):
    """A guard model that an operator runs."""

    async def review(self, prompt: str, verdict: TextVerdict) -> TextVerdict | Refusal:
        """Decide about a text that the filter is uncertain of. A refusal where the guard is away and must not be."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TextScreen:
    """judge: the text filter. guard: None where the operator has none. asks_always: the guard is asked about every text
    that passes, too."""

    judge: JudgeText
    guard: Guard | None = None
    asks_always: bool = False
    threads: TenantThreads = field(default_factory=lambda: TenantThreads(NUM_THREADS, MAX_AT_ONCE))

    async def admit_texts(
        self, texts: Sequence[tuple[str, str]], tenant: TenantId, tier: Tier
    ) -> list[TextVerdict] | Refusal:
        """The verdict about each text, (prompt, negative prompt), equal ones judged once; or the refusal of the first
        that is blocked. Logs those to be reviewed.
        """
        different = sorted(set(texts))
        screened = await self.screen_texts(different, tenant, tier)
        if isinstance(screened, Refusal):
            return screened
        for verdict in screened:
            if verdict.verdict is SafetyVerdict.REVIEW:
                log.info("prompt_to_review", tenant=tenant, **describe_verdict(verdict))
        if refusal := find_refusal(screened):
            return refusal
        by_text = dict(zip(different, screened, strict=True))
        return [by_text[text] for text in texts]

    async def screen_texts(
        self, texts: Sequence[tuple[str, str]], tenant: TenantId, tier: Tier
    ) -> tuple[TextVerdict, ...] | Refusal:
        """Verdicts of texts, (prompt, negative prompt) each, up to the first that is blocked."""

        def judge_texts() -> tuple[TextVerdict, ...]:
            verdicts: list[TextVerdict] = []
            for prompt, negative_prompt in texts:
                verdicts.append(self.judge(prompt, negative_prompt, tier))
                if verdicts[-1].is_blocked and not (self.guard and verdicts[-1].is_uncertain):
                    break
            return tuple(verdicts)

        judged = await self.threads.run(tenant, judge_texts)
        if isinstance(judged, Refusal) or self.guard is None:
            return judged
        verdicts: list[TextVerdict] = []
        for (prompt, _), judgement in zip(texts, judged, strict=False):
            verdict = judgement
            if judgement.is_uncertain or (self.asks_always and not judgement.is_blocked):
                reviewed = await self.guard.review(prompt, judgement)
                if isinstance(reviewed, Refusal):
                    return reviewed
                verdict = reviewed
            verdicts.append(verdict)
            if verdict.is_blocked:
                break
        return tuple(verdicts)

    async def close(self) -> None:
        if self.guard is not None:
            await self.guard.close()


def find_refusal(screened: tuple[TextVerdict, ...] | Refusal) -> Refusal | None:
    """The refusal of the first text that is blocked."""
    return screened if isinstance(screened, Refusal) else next(filter(None, (one.refuse() for one in screened)), None)


def describe_verdict(verdict: TextVerdict) -> dict[str, str | float]:
    """The fields of a log line about a verdict: enough to find the prompt by its hash, and none of its words."""
    return {
        "category": verdict.category,
        "nearness": round(verdict.nearness, 3),
        "stage": verdict.stage,
        "text_hash": verdict.text_hash,
        "policy_version": verdict.policy_version,
        "heads_version": verdict.heads_version,
    }
