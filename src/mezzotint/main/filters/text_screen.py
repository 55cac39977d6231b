"""Build the text filter and the client of an operator's guard from the settings."""

from collections.abc import Callable

from mezzotint.actions.screen import TextScreen
from mezzotint.config import Settings
from mezzotint.policy.safety.overrides import NO_OVERRIDES, SafetyOverrides
from mezzotint.safety.text.guard import GuardClient, GuardSettings
from mezzotint.safety.text.load import load_text_filter
from mezzotint.safety.text.text_filter import TextFilter


def build_text_filter(
    settings: Settings, overrides: Callable[[], SafetyOverrides] = lambda: NO_OVERRIDES
) -> TextFilter:
    """Begin to load the text filter. overrides: what admins change meanwhile.

    Raises: RulesInvalid, SafetyPolicyInvalid.
    """
    return load_text_filter(
        rules=settings.prefilter_rules,
        policy=settings.safety_policy,
        uses_classifier=settings.text_classifier,
        heads=settings.text_heads,
        overrides=overrides,
    )


def build_screen(settings: Settings, text_filter: TextFilter) -> TextScreen:
    """The screen over the filter and the guard that the settings name; to be closed."""
    return TextScreen(judge=text_filter.judge, guard=build_guard(settings), asks_always=settings.guard_always)


def build_guard(settings: Settings) -> GuardClient | None:
    if settings.guard_url is None:
        return None
    return GuardClient(
        GuardSettings(
            url=settings.guard_url,
            format=settings.guard_format,
            model=settings.guard_model,
            key=settings.guard_key.get_secret_value() if settings.guard_key else None,
            timeout_s=settings.guard_timeout_s,
            is_open=settings.guard_away == "open",
        )
    )
