"""Fields beside OpenAI's own that its clients send to other servers (`extra_body`): each counts, or is refused by name.

Several servers call one thing by different names, so a refusal names the field that the client sent.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mezzotint.domain.refusal import RefusalCode
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.openai.schemas import ImageOptions

SYNONYMS: dict[str, tuple[str, ...]] = {
    "num_steps": ("num_inference_steps", "steps", "num_steps"),
    "guidance_scale": ("guidance_scale", "cfg_scale"),
    "sampler": ("sampler", "sampler_name", "scheduler"),
}
"""The names of a job's field in requests."""
SENT_AS: dict[str, tuple[str, ...]] = {
    **SYNONYMS,
    "num_steps": (*SYNONYMS["num_steps"], "quality"),
    "strength": ("strength", "input_fidelity"),
    "width": ("size", "width"),
    "height": ("size", "height"),
    "repeat": ("n",),
}
"""The fields of a request that a refusal of a job's field can be about."""
SIZE = re.compile(r"\d+ x \d+ px")
RANDOM_SEED = -1
OWN_SAMPLER = frozenset({"automatic", "auto", "default", ""})


def read_field(options: ImageOptions, field: str) -> Any:
    """Return the value of a job's field, by whatever name it was sent; None: it was not. Answers 422 for two values."""
    sent = {name: value for name in SYNONYMS[field] if (value := getattr(options, name, None)) is not None}
    if len(set(sent.values())) > 1:
        first, second, *_ = sent
        message = f'"{first}" and "{second}" mean the same and say {sent[first]} and {sent[second]}.'
        raise ApiError(RefusalCode.PARAMETER_REPEATED, message=message, hint="Keep one of them.", param=second)
    return next(iter(sent.values()), None)


@contextmanager
def name_fields_as_sent(options: ImageOptions) -> Iterator[None]:
    """Let errors of the block name the fields as the request did."""
    try:
        yield
    except ApiError as error:
        field = error.param or ""
        sent = next((name for name in SENT_AS.get(field, ()) if getattr(options, name, None) is not None), None)
        if sent is not None:
            error.param = sent
            error.message = error.message.replace(f'"{field}"', f'"{sent}"')
            if sent == "size":
                error.message = SIZE.sub(f"{options.size} px", error.message)
        raise
