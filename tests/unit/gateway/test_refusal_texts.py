"""What was wrong stands where front ends look that drop the body of an error: the status line, a header, `detail`."""

import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Service
from tests.unit.gateway.serving import serving

pytestmark = pytest.mark.anyio
NO_WORDS = "The prompt has no words."


@pytest.mark.parametrize(
    ("path", "status", "places"),
    [
        ("/v1/jobs", 422, ("error", "message")),
        ("/v1/images/generations", 400, ("error", "message")),
        ("/sdapi/v1/txt2img", 422, ("detail",)),
        ("/sdapi/v1/txt2img", 422, ("errors",)),
    ],
)
async def test_the_first_sentence_stands_in_the_status_line_and_in_the_body(
    service: Service, path: str, status: int, places: tuple[str, ...]
) -> None:
    token = service.issuer.issue(TenantId("ada"), Tier.FREE, datetime.now(UTC), timedelta(minutes=5))
    async with serving(service) as host, httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
        answer = await client.post(f"http://{host}{path}", json={"prompt": ""})
        assert (answer.status_code, answer.reason_phrase, answer.headers["X-Error"]) == (status, NO_WORDS, NO_WORDS)
        text = answer.json()
        for place in places:
            text = text[place]
        assert text.startswith(NO_WORDS)
        with pytest.raises(httpx.HTTPStatusError, match=NO_WORDS):
            answer.raise_for_status()


async def test_a_field_of_the_client_adds_no_line_to_the_head(service: Service) -> None:
    token = service.issuer.issue(TenantId("ada"), Tier.FREE, datetime.now(UTC), timedelta(minutes=5))
    body = {"prompt": "a cat", "é\r\nX-Evil: 1\r\n\r\n" + "x" * 500: 1}
    async with serving(service) as host, httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
        answer = await client.post(f"http://{host}/v1/images/generations", json=body)
    assert answer.status_code == 400
    assert "X-Evil" not in answer.headers
    assert "???X-Evil" in answer.reason_phrase
    assert len(answer.reason_phrase) <= 200


async def test_every_answer_names_its_request(service: Service) -> None:
    async with serving(service) as host, httpx.AsyncClient() as client:
        paths = ("/healthz", "/none", "/v1/models", "/sdapi/v1/options")
        ids = [(await client.get(f"http://{host}{path}")).headers["X-Request-Id"] for path in paths]
    assert all(re.fullmatch("req_[0-9a-f]{24}", one) for one in ids)
    assert len(set(ids)) == len(paths)
