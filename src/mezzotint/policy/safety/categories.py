"""The categories of unsafe content that filters score and refusals name."""

from enum import StrEnum
from typing import Final

ANY: Final = "any"
"""Beside the categories, the name of the score that a text or picture is unsafe at all, in whichever way."""


class SafetyCategory(StrEnum):
    SEXUAL = "sexual"
    SEXUAL_MINORS = "sexual_minors"
    VIOLENCE = "violence"
    HATE = "hate"
    SELF_HARM = "self_harm"
    ILLEGAL = "illegal"
    HARASSMENT = "harassment"
    DECEPTION = "deception"
    PROMPT_INJECTION = "prompt_injection"

    @property
    def about(self) -> str:
        """Completes "The prompt looks like a request for ..."."""
        return _ABOUT[self]

    @property
    def hint(self) -> str:
        return _HINTS.get(self, "Describe something else.")

    @property
    def has_threshold(self) -> bool:
        """Tell whether the policy file may set from which score it is refused; sexual content with minors always is."""
        return self is not SafetyCategory.SEXUAL_MINORS


_ABOUT = {
    SafetyCategory.SEXUAL: "sexual content",
    SafetyCategory.SEXUAL_MINORS: "sexual content involving minors",
    SafetyCategory.VIOLENCE: "gore or extreme violence",
    SafetyCategory.HATE: "hatred of a group of people",
    SafetyCategory.SELF_HARM: "suicide or self-harm",
    SafetyCategory.ILLEGAL: "weapons, drugs or another crime",
    SafetyCategory.HARASSMENT: "harassment",
    SafetyCategory.DECEPTION: "a picture that deceives about a real person",
    SafetyCategory.PROMPT_INJECTION: "instructions to the filter instead of a picture",
}
_HINTS = {
    SafetyCategory.SEXUAL_MINORS: "This is never allowed.",
    SafetyCategory.SELF_HARM: "If this is about you: you are not alone, and talking helps. "
    "findahelpline.com lists free, confidential help by country.",
}
