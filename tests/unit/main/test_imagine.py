"""`mezzotint imagine --server`: the events of its job, as it follows them."""

import json

import httpx

from mezzotint.main import imagine

QUEUED = {"id": "j1", "state": "queued", "step": 0, "num_steps": 12}


def stream(*events: tuple[str, dict[str, object]]) -> httpx.Client:
    text = "".join(f"id: 1\nevent: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
    answer = httpx.MockTransport(lambda request: httpx.Response(200, text=text))
    return httpx.Client(transport=answer, base_url="http://server")


def test_a_job_that_waits_for_its_model_is_followed_to_its_end() -> None:
    done = QUEUED | {"state": "succeeded", "step": 12}
    events = [
        ("running", QUEUED | {"state": "running"}),
        ("loading", {"model": "ink", "share": 0.4}),
        ("loading", {"model": "ink", "share": 1.0}),
        ("progress", {"step": 6, "num_steps": 12, "preview": None}),
        ("succeeded", done),
    ]
    with stream(*events) as client:
        assert imagine.follow_job(client, QUEUED) == done
