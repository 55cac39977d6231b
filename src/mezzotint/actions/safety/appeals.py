"""Appeals against refusals, their decisions, and what is learnt from them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from mezzotint.actions.safety.controls import SafetyControls
from mezzotint.policy.safety.appeals import LABELS, PICTURE, Appeal
from mezzotint.store import KeptRefusal


class AppealFault(StrEnum):
    OTHER_PROMPT = "appeal_prompt_differs"
    EXISTS = "appeal_exists"
    TOO_MANY = "too_many_appeals"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedPrompt:
    """A row for the evaluation harness. label: safe or unsafe. of: prompt, or picture where the picture was blocked and
    not the prompt. prompt: empty where nobody gave or kept it."""

    label: str
    of: str
    category: str
    prompt: str
    text_hash: str
    rule: str
    policy_version: str
    overrides_version: int
    decided_at: datetime | None


async def appeal_against(
    controls: SafetyControls, refusal: KeptRefusal, explanation: str, prompt: str | None, now: datetime
) -> Appeal | AppealFault:
    """Put an appeal into the admins' queue. prompt: the refused one, if the user shows it; checked by its hash.

    Raises: StorageUnavailable.
    """
    if prompt is not None and _hash(prompt) != refusal.text_hash:
        return AppealFault.OTHER_PROMPT
    kept = refusal.prompt if _hash(refusal.prompt) == refusal.text_hash else None  # not kept, or cut
    added = await controls.appeals.add(refusal, explanation, prompt or kept, now)
    if added is not None:
        return added
    return AppealFault.EXISTS if await controls.appeals.find_of(refusal.id) else AppealFault.TOO_MANY


async def list_decided_prompts(controls: SafetyControls) -> AsyncIterator[DecidedPrompt]:
    """The decided appeals as labelled data, newest first. Raises: StorageUnavailable."""
    async for appeal in controls.appeals.iterate_decided():
        yield DecidedPrompt(
            label=LABELS[appeal.state],
            of=PICTURE if appeal.evidence.stage == PICTURE else "prompt",
            category=appeal.evidence.category,
            prompt=appeal.prompt or "",
            text_hash=appeal.text_hash,
            rule=appeal.evidence.rule,
            policy_version=appeal.evidence.policy_version,
            overrides_version=appeal.evidence.overrides_version,
            decided_at=appeal.decided_at,
        )


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()
