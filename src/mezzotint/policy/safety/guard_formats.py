"""Ask guard models, and read their answers: Qwen3Guard, Llama Guard and ShieldGemma over a chat endpoint, and
OpenAI's moderation endpoint.

Sources: the models' cards (Qwen/Qwen3Guard-Gen, meta-llama/Llama-Guard-3, google/shieldgemma) and OpenAI's API
reference. Classes that are no matter of pictures here (copyright, politics, privacy, advice) count as safe; a text that
is unsafe for a class that stands in no list here is blocked as unsafe.
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mezzotint.policy.safety.categories import ANY, SafetyCategory
from mezzotint.policy.safety.verdicts import SafetyVerdict


class GuardFormat(StrEnum):
    QWEN3GUARD = "qwen3guard"
    LLAMA_GUARD = "llama-guard"
    SHIELDGEMMA = "shieldgemma"
    OPENAI = "openai"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardAnswer:
    """category: of what is not allowed, or `ANY`. scores: by category, where the guard tells any."""

    verdict: SafetyVerdict
    category: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)


class GuardAnswerInvalid(ValueError):
    """The guard answered in another form than its format says."""


SAFE = GuardAnswer(verdict=SafetyVerdict.ALLOW)
MAX_ANSWER_TOKENS = 64
_QWEN_SAFETY = re.compile(r"Safety:\s*(Safe|Unsafe|Controversial)", re.IGNORECASE)
_QWEN_CATEGORIES = re.compile(r"Categories:\s*(.+)", re.IGNORECASE)
_YES_OR_NO = re.compile(r"(yes|no)\b", re.IGNORECASE)
_QWEN: Mapping[str, str] = {
    "violent": SafetyCategory.VIOLENCE,
    "non-violent illegal acts": SafetyCategory.ILLEGAL,
    "sexual content or sexual acts": SafetyCategory.SEXUAL,
    "suicide & self-harm": SafetyCategory.SELF_HARM,
    "unethical acts": ANY,
    "jailbreak": SafetyCategory.PROMPT_INJECTION,
}
_QWEN_IGNORED = frozenset({"pii", "politically sensitive topics", "copyright violation"})
_LLAMA: Mapping[str, str] = {
    "S1": SafetyCategory.VIOLENCE,
    "S2": SafetyCategory.ILLEGAL,
    "S3": SafetyCategory.SEXUAL,
    "S4": SafetyCategory.SEXUAL_MINORS,
    "S5": SafetyCategory.DECEPTION,
    "S9": SafetyCategory.ILLEGAL,
    "S10": SafetyCategory.HATE,
    "S11": SafetyCategory.SELF_HARM,
    "S12": SafetyCategory.SEXUAL,
}
_LLAMA_IGNORED = frozenset({"S6", "S7", "S8", "S13", "S14"})
"""Specialised advice, privacy, intellectual property, elections, abuse of a code interpreter."""
_OPENAI: Mapping[str, str] = {
    "sexual": SafetyCategory.SEXUAL,
    "sexual/minors": SafetyCategory.SEXUAL_MINORS,
    "violence": SafetyCategory.VIOLENCE,
    "violence/graphic": SafetyCategory.VIOLENCE,
    "hate": SafetyCategory.HATE,
    "hate/threatening": SafetyCategory.HATE,
    "harassment": SafetyCategory.HARASSMENT,
    "harassment/threatening": SafetyCategory.HARASSMENT,
    "self-harm": SafetyCategory.SELF_HARM,
    "self-harm/intent": SafetyCategory.SELF_HARM,
    "self-harm/instructions": SafetyCategory.SELF_HARM,
    "illicit": SafetyCategory.ILLEGAL,
    "illicit/violent": SafetyCategory.ILLEGAL,
}
_SHIELDGEMMA_PROMPT = """You are a policy expert trying to help determine whether a user
prompt is in violation of the defined safety policies.

<start_of_turn>
Human Question: {text}
<end_of_turn>

Our safety principles are defined in the below:

* "No Sexually Explicit Information": The prompt shall not seek content that is sexually explicit.
* "No Dangerous Content": The prompt shall not seek content that harms oneself or others (weapons, suicide, crime).
* "No Hate Speech": The prompt shall not seek content that targets people for protected attributes.
* "No Harassment": The prompt shall not seek content that is malicious, intimidating, bullying, or abusive.
* "No Violence": The prompt shall not seek content that shows gore or glorifies violence.

Does the human question violate any of the above principles? Your answer must start with 'Yes' or 'No'. And then walk
through step by step to be sure we answer correctly.
"""


def build_request(format: GuardFormat, model: str, text: str) -> tuple[str, dict[str, Any]]:
    """The path under the guard's base URL, and the body."""
    if format is GuardFormat.OPENAI:
        return "moderations", {"model": model, "input": text}
    content = _SHIELDGEMMA_PROMPT.format(text=text) if format is GuardFormat.SHIELDGEMMA else text
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": content}]}
    return "chat/completions", {**body, "temperature": 0, "max_tokens": MAX_ANSWER_TOKENS, "stream": False}


def read_answer(format: GuardFormat, body: Any) -> GuardAnswer:
    """Raises: GuardAnswerInvalid."""
    try:
        match format:
            case GuardFormat.OPENAI:
                return _read_moderation(body["results"][0])
            case GuardFormat.QWEN3GUARD:
                return _read_qwen(_chat_text(body))
            case GuardFormat.LLAMA_GUARD:
                return _read_llama(_chat_text(body))
            case GuardFormat.SHIELDGEMMA:
                return _read_shieldgemma(_chat_text(body))
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise GuardAnswerInvalid(f"the guard's answer is not as {format} says: {error}") from error


def _chat_text(body: Any) -> str:
    text: str = body["choices"][0]["message"]["content"].strip()
    return text


def _read_qwen(text: str) -> GuardAnswer:
    safety = _QWEN_SAFETY.search(text)
    if safety is None:
        raise ValueError("there is no line Safety:")
    if safety[1].lower() == "safe":
        return SAFE
    verdict = SafetyVerdict.BLOCK if safety[1].lower() == "unsafe" else SafetyVerdict.REVIEW
    named = _QWEN_CATEGORIES.search(text)
    names = [name.strip().lower() for name in named[1].split(",")] if named else []
    return _answer(verdict, names, _QWEN, _QWEN_IGNORED)


def _read_llama(text: str) -> GuardAnswer:
    first, *rest = text.split("\n")
    if first.strip().lower() == "safe":
        return SAFE
    if first.strip().lower() != "unsafe":
        raise ValueError("it begins with neither safe nor unsafe")
    names = [name.strip() for name in rest[0].split(",")] if rest else []
    return _answer(SafetyVerdict.BLOCK, names, _LLAMA, _LLAMA_IGNORED)


def _read_shieldgemma(text: str) -> GuardAnswer:
    first = _YES_OR_NO.match(text)
    if first is None:
        raise ValueError("it begins with neither Yes nor No")
    if first[1].lower() == "no":
        return SAFE
    return GuardAnswer(verdict=SafetyVerdict.BLOCK, category=ANY)


def _read_moderation(result: Any) -> GuardAnswer:
    scores: dict[str, float] = {}
    for name, score in result["category_scores"].items():
        if name in _OPENAI and score is not None:
            if not math.isfinite(score):
                raise ValueError(f"the score of {name} is not a number")
            scores[_OPENAI[name]] = max(scores.get(_OPENAI[name], 0.0), float(score))
    flagged = [_OPENAI[name] for name, is_flagged in result["categories"].items() if is_flagged and name in _OPENAI]
    if not result["flagged"]:
        return GuardAnswer(verdict=SafetyVerdict.ALLOW, scores=scores)
    category = max(flagged, key=lambda name: (name == SafetyCategory.SEXUAL_MINORS, scores.get(name, 0.0)), default=ANY)
    return GuardAnswer(verdict=SafetyVerdict.BLOCK, category=category, scores=scores)


def _answer(
    verdict: SafetyVerdict, names: Sequence[str], known: Mapping[str, str], ignored: Collection[str]
) -> GuardAnswer:
    """names: of the classes that the guard named. Where all of them are ignored ones, the text is safe here."""
    categories = [known[name] for name in names if name in known]
    if SafetyCategory.SEXUAL_MINORS in categories:
        return GuardAnswer(verdict=SafetyVerdict.BLOCK, category=SafetyCategory.SEXUAL_MINORS)
    if names and all(name in ignored for name in names):
        return SAFE
    return GuardAnswer(verdict=verdict, category=categories[0] if categories else ANY)
