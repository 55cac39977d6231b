"""OpenAI's moderation endpoint, on the filters and the policy that judge this server's own requests."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Annotated, Literal, TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from mezzotint.actions.moderate import moderate_picture, moderate_text
from mezzotint.domain.claims import Claims
from mezzotint.domain.refusal import Refusal
from mezzotint.gateway.bodies.large_bodies import (
    MAX_PICTURES_BYTES,
    decode_base64,
    describe_json_body,
    read_json,
    reserve_memory,
)
from mezzotint.gateway.dependencies import CallerClaims, ServiceDep
from mezzotint.gateway.errors import ApiError, translate_refusal, unsupported_error
from mezzotint.gateway.openai.errors import OpenAIRoute
from mezzotint.gateway.openai.schemas import describe_openai_errors
from mezzotint.gateway.service import Service
from mezzotint.policy.safety.categories import ANY, SafetyCategory
from mezzotint.policy.safety.images import ImageVerdict, find_highest
from mezzotint.policy.safety.text_verdict import TextVerdict
from mezzotint.policy.safety.verdicts import SafetyVerdict

MAX_TEXTS = 32
MAX_PARTS = 16
MAX_TEXT = 8_000
"""Characters of one text: what the classifiers read."""
DEFAULT_MODEL = "omni-moderation-latest"
CATEGORIES: Mapping[str, SafetyCategory | None] = {
    "sexual": SafetyCategory.SEXUAL,
    "sexual/minors": SafetyCategory.SEXUAL_MINORS,
    "violence": SafetyCategory.VIOLENCE,
    "violence/graphic": SafetyCategory.VIOLENCE,
    "hate": SafetyCategory.HATE,
    "hate/threatening": None,
    "harassment": SafetyCategory.HARASSMENT,
    "harassment/threatening": None,
    "self-harm": SafetyCategory.SELF_HARM,
    "self-harm/intent": None,
    "self-harm/instructions": None,
    "illicit": SafetyCategory.ILLEGAL,
    "illicit/violent": None,
}
"""OpenAI's categories with ours; None: not told apart here, always false."""
Input = Literal["text", "image"]
STOPS: Mapping[Input, frozenset[SafetyVerdict]] = {
    "text": frozenset({SafetyVerdict.BLOCK}),
    "image": frozenset({SafetyVerdict.BLOCK, SafetyVerdict.BLUR, SafetyVerdict.REVIEW}),
}
"""A text that is to be reviewed passes; a picture that is not simply allowed is not delivered as it is."""
Verdict = TypeVar("Verdict", TextVerdict, ImageVerdict)


class ImageUrl(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str = Field(description="a data: URL with a picture in base64")


class TextPart(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: str = Field(max_length=MAX_TEXT)


class PicturePart(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | PicturePart, Field(discriminator="type")]


class ModerationRequest(BaseModel):
    """input: one text, several texts (a result each), or parts of one thing (one result)."""

    model_config = ConfigDict(extra="forbid")

    input: str | list[Part] | list[str] = Field(description="a text, texts, or parts: text and image_url")
    model: str | None = Field(None, max_length=200, description="any name is taken; one filter judges all")


class OwnVerdict(BaseModel):
    """The verdict's details beyond OpenAI's API. category: the one that decided, of the safety policy; empty: none."""

    verdict: SafetyVerdict
    category: str
    scores: dict[str, float]
    stage: str
    language: str
    policy_version: str
    rules_version: str
    heads_version: str


class ModerationResult(BaseModel):
    flagged: bool = Field(description="whether the policy stops it, or a picture would not be delivered as it is")
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[Input]]
    mezzotint: OwnVerdict


class ModerationAnswer(BaseModel):
    id: str
    model: str
    results: list[ModerationResult]


@dataclass(slots=True)
class _Judged:
    """The verdicts on the parts of one input, put together. is_flagged: the policy stops a part. scores: by category,
    the highest. inputs: which kinds of parts have a score in it.
    """

    is_flagged: bool = False
    verdict: SafetyVerdict = SafetyVerdict.ALLOW
    category: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    inputs: dict[str, set[Input]] = field(default_factory=dict)
    text: TextVerdict | None = None
    version: str = ""

    def add(self, kind: Input, verdict: SafetyVerdict, category: str, scores: Mapping[str, float]) -> None:
        self.is_flagged |= verdict in STOPS[kind]
        if verdict.severity > self.verdict.severity:
            self.verdict, self.category = verdict, category
        for name, score in {**scores, **({category: 1.0} if category and not scores else {})}.items():
            known = 1.0 if isnan(score) else score  # as the policy takes what is not a number
            self.scores[name] = max(known, self.scores.get(name, 0.0))
            self.inputs.setdefault(name, set()).add(kind)


router = APIRouter(
    prefix="/v1/moderations",
    tags=["openai"],
    route_class=OpenAIRoute,
    responses=describe_openai_errors(400, 401, 403, 408, 413, 429, 500, 503),
)


@router.post("", openapi_extra={"requestBody": describe_json_body(ModerationRequest)})
async def moderate_inputs(request: Request, service: ServiceDep, claims: CallerClaims) -> ModerationAnswer:
    """Verdicts on texts and pictures by the safety policy; nothing is kept."""
    with reserve_memory(request, claims, MAX_PICTURES_BYTES):
        body = await read_json(request, ModerationRequest)
        judged = [await _judge(service, claims, parts) for parts in _list_inputs(body)]
    model = body.model or DEFAULT_MODEL
    return ModerationAnswer(id=f"modr-{secrets.token_hex(12)}", model=model, results=[_tell(one) for one in judged])


def _list_inputs(body: ModerationRequest) -> list[list[Part]]:
    """The parts of each result. Answers 400."""
    sent = [body.input] if isinstance(body.input, str) else body.input
    texts = [one for one in sent if isinstance(one, str)]
    if not sent or len(sent) > (MAX_TEXTS if texts else MAX_PARTS):
        message = f'"input" has {len(sent)} elements.'
        hint = f"Send 1 to {MAX_TEXTS} texts, or 1 to {MAX_PARTS} parts."
        raise ApiError("field_invalid", message=message, hint=hint, param="input")
    if any(len(text) > MAX_TEXT for text in texts):
        hint = f"Send at most {MAX_TEXT} characters in a text."
        raise ApiError("field_invalid", message="A text is too long.", hint=hint, param="input")
    if texts:
        return [[TextPart(type="text", text=text)] for text in texts]
    return [[one for one in sent if not isinstance(one, str)]]


async def _judge(service: Service, claims: Claims, parts: Sequence[Part]) -> _Judged:
    judged = _Judged()
    for part in parts:
        if isinstance(part, TextPart):
            verdict = _expect(await moderate_text(service.admission.screen, part.text, claims))
            judged.add("text", verdict.verdict, verdict.category, verdict.scores)
            if judged.text is None or verdict.verdict.severity > judged.text.verdict.severity:
                judged.text = verdict
        else:
            data = await _decode(part.image_url.url)
            seen = _expect(await moderate_picture(service.uploader, service.judge_picture, data, claims))
            judged.add("image", seen.verdict, seen.category or "", find_highest(seen.scores))
            judged.version = seen.version
    return judged


def _expect(outcome: Verdict | Refusal) -> Verdict:
    """Answers the refusal's error."""
    if isinstance(outcome, Refusal):
        raise translate_refusal(outcome)
    return outcome


async def _decode(url: str) -> bytes:
    if url[:5].lower() != "data:":
        message = "Pictures are not fetched from other addresses."
        raise unsupported_error("input", message, "Send a data: URL as image_url.")
    try:
        return await decode_base64(url)
    except ValueError:
        raise ApiError(
            "upload_invalid", message="The data: URL is not base64.", hint="Send the file's bytes.", param="input"
        ) from None


def _tell(judged: _Judged) -> ModerationResult:
    text = judged.text
    scores = {name: round(judged.scores.get(ours, 0.0), 4) if ours else 0.0 for name, ours in CATEGORIES.items()}
    return ModerationResult(
        flagged=judged.is_flagged,
        categories={name: judged.is_flagged and ours == judged.category for name, ours in CATEGORIES.items()},
        category_scores=scores,
        category_applied_input_types={
            name: sorted(judged.inputs.get(ours, ())) if ours else [] for name, ours in CATEGORIES.items()
        },
        mezzotint=OwnVerdict(
            verdict=judged.verdict,
            category="" if judged.category == ANY else judged.category,
            scores={name: round(score, 4) for name, score in judged.scores.items()},
            stage=text.stage if text else "",
            language=text.language if text else "",
            policy_version=text.policy_version if text else judged.version,
            rules_version=text.rules_version if text else "",
            heads_version=text.heads_version if text else "",
        ),
    )
