"""The parts with which admins change the safety policy, for the server and for commands."""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import TypeVar

from mezzotint.actions.safety.controls import GoldenPrompts, SafetyControls
from mezzotint.actions.safety.overrides import OverridesFollower
from mezzotint.config import Settings
from mezzotint.evals.golden_sets import load_adversarial, load_benign
from mezzotint.main.filters.text_screen import build_text_filter
from mezzotint.main.log import configure_log
from mezzotint.main.stores import read_retention
from mezzotint.main.with_database import with_database
from mezzotint.metrics import Metrics
from mezzotint.safety.text.text_filter import TextFilter
from mezzotint.store import Database, Store

T = TypeVar("T")


async def follow_overrides(store: Store, metrics: Metrics) -> OverridesFollower:
    """Read the overrides before anything is judged. Raises: StorageUnavailable."""
    follower = OverridesFollower(overrides=store.overrides, now=lambda: datetime.now(UTC), metrics=metrics)
    await follower.refresh()
    return follower


def build_controls(store: Store, follower: OverridesFollower, text_filter: TextFilter) -> SafetyControls:
    """text_filter: the one that this process uses, which follows `follower`."""
    return SafetyControls.of_store(
        store,
        follower,
        compiler=text_filter,
        is_refused=lambda prompt, negative_prompt: text_filter.judge(prompt, negative_prompt).is_blocked,
        read_golden=read_golden,
    )


def read_golden() -> GoldenPrompts:
    return GoldenPrompts(
        adversarial=[row.text for row in load_adversarial()], benign=[row.text for row in load_benign()]
    )


def with_controls(
    settings: Settings, work: Callable[[SafetyControls], Coroutine[None, None, T]], *, tries_rules: bool = False
) -> T:
    """Run a command's work on the safety policy in use; servers and workers on the same database follow by themselves.

    tries_rules: the whole text filter is loaded, which takes a second or two; else its rules alone.

    Raises: DatabaseMissing, StoreUnusable, RulesInvalid.
    """

    async def work_on(database: Database) -> T:
        store = Store(database, read_retention(settings))
        follower = await follow_overrides(store, Metrics())
        text_filter = build_text_filter(used, follower.read_current)
        return await work(build_controls(store, follower, text_filter))

    used = settings if tries_rules else settings.model_copy(update={"text_classifier": False})
    configure_log(settings)
    return with_database(settings, work_on)
