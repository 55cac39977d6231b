"""Bound the rows that tenants create without using the GPU: refused prompts, unstarted jobs, ended keys."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """max_refusals, max_unstarted: rows of one tenant, the newest. keeps_refused_prompts: whether their text is kept
    beside its hash. max_refusal_chars: of one refused prompt.

    refusals_for, unstarted_for, keys_for: age after which refused prompts, jobs that ended before they began, and keys
    that were revoked or ran out are deleted.
    """

    max_refusals: int = 1000
    keeps_refused_prompts: bool = False
    max_refusal_chars: int = 2000
    refusals_for: timedelta = timedelta(days=30)
    max_unstarted: int = 1000
    unstarted_for: timedelta = timedelta(days=30)
    keys_for: timedelta = timedelta(days=30)

    def shorten(self, prompt: str) -> str:
        """The prompt as an audit row keeps it: empty unless texts are kept; what is cut off is counted at its end."""
        if not self.keeps_refused_prompts:
            return ""
        num_cut = len(prompt) - self.max_refusal_chars
        return prompt if num_cut <= 0 else f"{prompt[: self.max_refusal_chars]}… ({num_cut} more characters)"

    def oldest_refusal(self, now: datetime) -> datetime:
        return now - self.refusals_for

    def oldest_unstarted(self, now: datetime) -> datetime:
        return now - self.unstarted_for

    def oldest_ended_key(self, now: datetime) -> datetime:
        return now - self.keys_for
