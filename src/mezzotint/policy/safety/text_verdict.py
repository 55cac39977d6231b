"""The text filter's decision about a prompt, with the facts that an audit needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mezzotint.domain.refusal import Refusal, RefusalCode, SafetyEvidence
from mezzotint.policy.safety.verdicts import SafetyVerdict

UNNAMED_ABOUT = "content that is not allowed"
UNNAMED_HINT = "Describe something else."
"""Hint of a refusal without a category."""


class TextStage(StrEnum):
    """The last stage of the cascade that looked at the text; it decided."""

    RULES = "rules"
    FAST = "fast"
    STRONG = "strong"
    GUARD = "guard"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextVerdict:
    """category: of the policy or of an operator's rule; empty where the text is allowed. rule: id of the hard rule in
    use that blocks it. about, hint: for the refusal.

    scores: by category, 0..1; empty where a rule decided. language: ISO 639; empty where a rule decided.
    nearness: the highest score as a share of its threshold: from 1 on it is not allowed. is_uncertain: an operator's
    guard is to be asked, if there is one. text_hash: SHA-256 of the prompt as it was sent. heads_version: of the
    trained heads; empty where none scored.
    """

    verdict: SafetyVerdict
    category: str = ""
    rule: str = ""
    about: str = ""
    hint: str = ""
    stage: TextStage
    scores: Mapping[str, float] = field(default_factory=dict)
    language: str = ""
    nearness: float = 0.0
    is_uncertain: bool = False
    text_hash: str
    policy_version: str
    rules_version: str
    overrides_version: int = 0
    heads_version: str = ""

    @property
    def is_blocked(self) -> bool:
        return self.verdict is SafetyVerdict.BLOCK

    @property
    def evidence(self) -> SafetyEvidence:
        """The part of the verdict that is kept with a refusal or a job."""
        return SafetyEvidence(
            category=self.category,
            rule=self.rule,
            scores=self.scores,
            overrides_version=self.overrides_version,
            policy_version=self.policy_version,
            rules_version=self.rules_version,
            heads_version=self.heads_version,
            stage=self.stage,
            language=self.language,
        )

    def refuse(self) -> Refusal | None:
        """The refusal of a blocked prompt: it names the category and how to appeal, never the word."""
        if not self.is_blocked:
            return None
        return Refusal(
            code=RefusalCode.PROMPT_BLOCKED,
            message=f"The prompt looks like a request for {self.about}; such pictures are not made here.",
            hint=self.hint,
            param="prompt",
            evidence=self.evidence,
        )
