"""Texts are judged in threads, and a guard is asked about those alone that the filter is uncertain of."""

import threading
from dataclasses import dataclass, field

import pytest

from mezzotint.actions.screen import TextScreen, find_refusal
from mezzotint.domain.ids import TenantId
from mezzotint.domain.refusal import Refusal, RefusalCode, refuse
from mezzotint.domain.tier import Tier
from mezzotint.policy.safety.text_verdict import TextVerdict
from tests.making import make_screen, make_text_verdict

pytestmark = pytest.mark.anyio
ADA = TenantId("ada")
AWAY = refuse(RefusalCode.FILTER_UNAVAILABLE, "away", "wait")


@dataclass
class Guard:
    """A guard that blocks the prompts it names, or refuses to answer at all."""

    blocks: str = ""
    is_away: bool = False
    asked: list[str] = field(default_factory=list)
    is_closed: bool = False

    async def review(self, prompt: str, verdict: TextVerdict) -> TextVerdict | Refusal:
        self.asked.append(prompt)
        return AWAY if self.is_away else make_text_verdict(is_blocked=prompt == self.blocks)

    async def close(self) -> None:
        self.is_closed = True


def judge(prompt: str, negative_prompt: str = "", tier: Tier = Tier.FREE) -> TextVerdict:
    """A filter that blocks what is bad, and is uncertain of what is odd."""
    return make_text_verdict(is_blocked="bad" in prompt, is_uncertain="odd" in prompt)


async def test_no_text_is_judged_on_the_event_loops_thread() -> None:
    threads: list[str] = []
    screen = make_screen(lambda prompt: bool(threads.append(threading.current_thread().name)))
    await screen.screen_texts([("a lake", ""), ("a boat", "")], ADA, Tier.FREE)
    assert len(threads) == 2
    assert threading.current_thread().name not in threads


async def test_the_guard_is_asked_about_uncertain_texts_alone() -> None:
    guard = Guard()
    screened = await TextScreen(judge=judge, guard=guard).screen_texts(
        [("a lake", ""), ("an odd lake", ""), ("bad", "")], ADA, Tier.FREE
    )
    assert guard.asked == ["an odd lake"]
    assert not isinstance(screened, Refusal)
    assert [verdict.is_blocked for verdict in screened] == [False, False, True]


async def test_the_guard_may_let_pass_what_the_filter_was_uncertain_of_and_blocked() -> None:
    guard = Guard()
    screened = await TextScreen(judge=judge, guard=guard).screen_texts(
        [("odd and bad", ""), ("bad", "")], ADA, Tier.FREE
    )
    refusal = find_refusal(screened)
    assert guard.asked == ["odd and bad"]
    assert refusal is not None, "the second text is blocked without doubt"
    assert (
        find_refusal(await TextScreen(judge=judge, guard=guard).screen_texts([("odd and bad", "")], ADA, Tier.FREE))
        is None
    )


async def test_nothing_is_asked_after_a_text_that_the_guard_blocks() -> None:
    guard = Guard(blocks="odd 1")
    screened = await TextScreen(judge=judge, guard=guard).screen_texts([("odd 1", ""), ("odd 2", "")], ADA, Tier.FREE)
    assert guard.asked == ["odd 1"]
    assert find_refusal(screened) is not None


async def test_a_guard_that_must_not_be_away_refuses_the_request() -> None:
    screened = await TextScreen(judge=judge, guard=Guard(is_away=True)).screen_texts([("odd", "")], ADA, Tier.FREE)
    assert find_refusal(screened) is AWAY


async def test_a_guard_may_be_asked_about_everything_that_passes() -> None:
    guard = Guard()
    screen = TextScreen(judge=judge, guard=guard, asks_always=True)
    await screen.screen_texts([("a lake", ""), ("bad", "")], ADA, Tier.FREE)
    await screen.close()
    assert guard.asked == ["a lake"]
    assert guard.is_closed
