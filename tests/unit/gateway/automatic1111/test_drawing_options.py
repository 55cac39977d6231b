"""Eta and clip skip as AUTOMATIC1111's clients send them: heeded where they mean something, else ignored or refused."""

from dataclasses import replace

import pytest

from mezzotint.domain.drawing.options import DrawingOptions
from mezzotint.gateway import Service
from mezzotint.gateway.automatic1111.schemas import Txt2Img
from mezzotint.gateway.automatic1111.txt2img import to_request
from mezzotint.gateway.errors import ApiError

pytestmark = pytest.mark.anyio
CAN = DrawingOptions(eta_samplers=("DDIM",), max_clip_skip=6)


def serve(service: Service, options: DrawingOptions = CAN) -> Service:
    model = replace(service.admission.model, samplers=("DDIM", "Euler a"), options=options)
    return replace(service, admission=replace(service.admission, model=model))


@pytest.mark.parametrize(("sampler", "eta"), [("DDIM", 0.5), ("Euler a", None), (None, None)])
async def test_eta_is_heeded_with_the_samplers_that_add_noise_by_it(
    service: Service, sampler: str | None, eta: float | None
) -> None:
    assert to_request(serve(service), Txt2Img(prompt="a cat", eta=0.5, sampler_name=sampler)).eta == eta


async def test_the_web_uis_option_is_the_clip_skip(service: Service) -> None:
    def ask(value: object, options: DrawingOptions = CAN) -> int | None:
        body = Txt2Img(prompt="a cat", override_settings={"CLIP_stop_at_last_layers": value})
        return to_request(serve(service, options), body).clip_skip

    assert (ask(2), ask(2.0), ask(1), ask(None)) == (2, 2, 1, None)
    assert ask(1, DrawingOptions()) is None
    for odd in ("two", 1.5, True, float("nan")):
        with pytest.raises(ApiError, match=r"whole number"):
            ask(odd)
