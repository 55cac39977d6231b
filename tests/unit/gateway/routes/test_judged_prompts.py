"""A prompt comes to the trained heads by every way that makes a job, and its refusal tells the category and is kept."""

from dataclasses import replace

import pytest

from mezzotint.actions.screen import TextScreen
from mezzotint.gateway import Service
from mezzotint.safety.text.load import load_text_filter
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio
CRUEL = "two men strangle a woman in her bed, she is dying"
STRICT = 'version = "strict"\n[text.english]\nany = 0.5\nviolence = 0.5\n[text.known]\nany = 0.9\n'
PLAIN = "ein roter apfel auf einem alten holztisch"


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> TextScreen:
    policy = tmp_path_factory.mktemp("policy") / "policy.toml"
    policy.write_text(STRICT)
    text_filter = load_text_filter(rules=None, policy=policy, uses_classifier=True)
    text_filter.wait_until_loaded()
    return TextScreen(judge=text_filter.judge)


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/jobs", {"prompt": CRUEL}, 422, "prompt_blocked"),
        ("/v1/jobs", {"prompt": "a {quiet lake, " + CRUEL.replace(",", " and") + "}"}, 422, "prompt_blocked"),
        ("/v1/images/generations", {"prompt": CRUEL}, 400, "moderation_blocked"),
        ("/sdapi/v1/txt2img", {"prompt": CRUEL}, 422, None),
    ],
)
async def test_every_way_to_a_job_passes_the_heads(
    connect: Connect,
    service: Service,
    screen: TextScreen,
    path: str,
    body: dict[str, str],
    status: int,
    code: str | None,
) -> None:
    served = replace(service, admission=replace(service.admission, screen=screen))
    async with connect(served=served) as ada:
        answer = await ada.post(path, json=body)
        assert answer.status_code == status
        if code is not None:
            assert answer.json()["error"]["code"] == code
        assert (await ada.get("/v1/jobs")).json()["jobs"] == []
    (kept,) = [refusal for _, refusal in await service.admission.refusals.page(10)]
    assert kept.evidence.scores
    assert kept.evidence.policy_version == "strict"
    assert kept.evidence.heads_version
    assert kept.evidence.language == "en"


async def test_weights_do_not_hide_a_word_from_the_filter(
    connect: Connect, service: Service, screen: TextScreen
) -> None:
    weighing = replace(service.admission.model, weighs_words=True)
    served = replace(service, admission=replace(service.admission, screen=screen, model=weighing))
    hidden = CRUEL.replace("strangle", "stra(ngl:1.1)e").replace("woman", "wo[m]an").replace("dying", "dy((ing))")
    async with connect(served=served) as ada:
        answer = await ada.post("/v1/jobs", json={"prompt": hidden})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "prompt_blocked")
        assert (await ada.post("/v1/jobs", json={"prompt": "a (red:1.2) apple"})).status_code == 202


async def test_a_harmless_prompt_in_another_language_becomes_a_job(
    connect: Connect, service: Service, screen: TextScreen
) -> None:
    served = replace(service, admission=replace(service.admission, screen=screen))
    async with connect(served=served) as ada:
        assert (await ada.post("/v1/jobs", json={"prompt": PLAIN})).status_code == 202
