"""Clients of the AUTOMATIC1111 API: a real one (webuiapi), and the calls that Open WebUI makes, one by one."""

import json
import time
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from webuiapi import WebUIApi

from tests.acceptance.conftest import Server


@pytest.fixture
def webui(server: Server) -> WebUIApi:
    return WebUIApi(baseurl=f"{server.url}/sdapi/v1", username="anyone", password=server.token("ada", "pro"))


def basic(server: Server, tenant: str) -> dict[str, str]:
    """As Open WebUI makes the header of its setting `user:password`."""
    return {"authorization": "Basic " + b64encode(f"user:{server.token(tenant, 'pro')}".encode()).decode()}


def test_a_client_draws_with_its_own_defaults_and_a_size_that_the_model_has(webui: WebUIApi) -> None:
    drawn = webui.txt2img(prompt="a red apple", negative_prompt="text", seed=7, width=64, height=64, batch_size=2)
    assert [image.size for image in drawn.images] == [(64, 64)] * 2
    assert drawn.info["all_seeds"] == [7, 8]
    assert (drawn.info["sampler_name"], drawn.info["steps"], drawn.info["cfg_scale"]) == ("Euler a", 20, 7)
    assert "Negative prompt: text" in drawn.info["infotexts"][0]


def test_a_style_draws_in_its_manner_and_is_told_with_the_picture(webui: WebUIApi, server: Server) -> None:
    def colour(picture: Image.Image) -> float:
        pixels = np.asarray(picture.convert("RGB"), float)
        return float((pixels.max(axis=2) - pixels.min(axis=2)).mean())

    ask: dict[str, Any] = {"seed": 7, "width": 64, "height": 64, "steps": 12}
    plain = webui.txt2img(prompt="a red apple", **ask)
    drawn = webui.txt2img(prompt="a red apple <lora:woodcut:1>", **ask)
    assert colour(drawn.image) < 0.7 * colour(plain.image)
    assert "a red apple <lora:woodcut:1>" in drawn.info["infotexts"][0]
    assert "Lora hashes: " in drawn.info["infotexts"][0]
    headers = {"Authorization": f"Bearer {server.token('ada', 'pro')}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=90) as client:
        body = {"prompt": "a red apple --seed 7 --steps 4", "styles": [{"name": "woodcut", "weight": 0.5}]}
        job = client.post("/v1/jobs", json=body).json()
        ended = client.get(f"/v1/jobs/{job['id']}", params={"wait": 60}).json()
        (origin,) = client.get(f"/v1/jobs/{job['id']}/provenance").json()["images"]
        (style,) = client.get("/v1/styles").json()["styles"]
    expected = [{"name": "woodcut", "weight": 0.5, "sha256": style["sha256"]}]
    assert (ended["state"], ended["parameters"]["styles"], origin["styles"]) == ("succeeded", expected, expected)


def test_the_sampler_asked_for_draws_the_picture(webui: WebUIApi) -> None:
    listed = webui.util_get_sampler_names()
    pictures = {
        name: webui.txt2img(prompt="a red apple", seed=7, width=64, height=64, sampler_name=name, steps=12).image
        for name in ("DDIM", "Euler a", "DPM++ 2M")
    }
    assert set(pictures) <= set(listed)
    assert len({picture.tobytes() for picture in pictures.values()}) == 3


def test_a_client_redraws_a_picture_whole_or_where_a_mask_says(webui: WebUIApi) -> None:
    apple = webui.txt2img(prompt="a red apple", seed=7, width=64, height=64).image.convert("RGB")
    ask: dict[str, Any] = {"images": [apple], "seed": 1, "width": 64, "height": 64, "steps": 12}
    varied = webui.img2img(prompt="a blue fish", denoising_strength=0.6, **ask).image
    assert varied.size == (64, 64)
    assert varied.tobytes() != apple.tobytes()
    half = Image.new("L", (64, 64), 0)
    half.paste(255, (32, 0, 64, 64))
    before = np.asarray(apple)
    for invert, kept in ((0, np.s_[:, :32]), (1, np.s_[:, 32:])):
        drawn = webui.img2img(
            prompt="a green apple", mask_image=half, inpainting_mask_invert=invert, denoising_strength=1.0, **ask
        )
        after = np.asarray(drawn.image)
        assert np.array_equal(after[kept], before[kept])
        assert not np.array_equal(after, before)
        assert "init_images" not in drawn.parameters


@pytest.mark.parametrize(
    ("switched_on", "word"),
    [
        ({"tiling": True}, "tiling"),
        ({"enable_hr": True}, "enable_hr"),
        ({"styles": ["anime"]}, "styles"),
        ({"sampler_name": "DPM++ 9Z"}, "DPM++ 9Z"),
        ({"alwayson_scripts": {"ADetailer": {"args": [True, {"ad_model": "face"}]}}}, "ADetailer"),
        ({"width": 512, "height": 512}, "512 x 512"),
        ({"override_settings": {"sd_model_checkpoint": "other"}}, "other"),
    ],
)
def test_what_would_change_the_picture_and_cannot_be_done_is_refused_by_name(
    webui: WebUIApi, switched_on: dict[str, Any], word: str
) -> None:
    with pytest.raises(RuntimeError) as caught:
        webui.txt2img(**{"prompt": "a cat", "width": 64, "height": 64, **switched_on})
    status, text = caught.value.args
    assert status in {404, 422}
    assert word in json.loads(text)["detail"]


def test_four_of_a_batch_are_four_pictures(webui: WebUIApi) -> None:
    drawn = webui.txt2img(prompt="a red apple", width=64, height=64, steps=4, batch_size=4)
    assert len({image.tobytes() for image in drawn.images}) == 4


def test_a_schedule_that_the_sampler_lacks_and_scripts_that_are_off_do_not_stop_it(webui: WebUIApi) -> None:
    off = {"a": {"args": []}, "b": {"args": [False, {"x": 1}]}, "c": {"args": [{"enabled": False}]}, "d": {}}
    for scheduler in ("Automatic", "Karras", "normal", "exponential"):
        drawn = webui.txt2img(
            prompt="a red apple", width=64, height=64, steps=4, scheduler=scheduler, alwayson_scripts=off
        )
        assert ("was ignored" in drawn.info["comments"]) == (scheduler != "Automatic")
    drawn = webui.txt2img(prompt="a red apple", width=64, height=64, steps=4, sampler_name="DPM++ 2M Karras")
    assert drawn.info["sampler_name"].startswith("DPM++ 2M")


def test_a_picture_tells_how_it_was_made(webui: WebUIApi) -> None:
    drawn = webui.txt2img(prompt="a red apple, ripe", negative_prompt="text", seed=7, width=64, height=64, steps=4)
    assert drawn.image.info["parameters"] == drawn.info["infotexts"][0]
    told = webui.png_info(drawn.image)
    assert told.info == drawn.info["infotexts"][0]
    assert (told.parameters["Prompt"], told.parameters["Seed"]) == ("a red apple, ripe", "7")
    assert told.parameters["Size-1"] == "64"


def test_pictures_are_made_larger(webui: WebUIApi) -> None:
    (name,) = (one["name"] for one in webui.get_upscalers() if one["name"] != "None")
    apple = webui.txt2img(prompt="a red apple", seed=7, width=64, height=64, steps=4).image.convert("RGB")
    ask: dict[str, Any] = {"upscaler_1": name}
    assert webui.extra_single_image(apple, upscaling_resize=2, **ask).image.size == (128, 128)
    assert webui.extra_single_image(apple, upscaling_resize=1.5, **ask).image.size == (96, 96)
    size = {"resize_mode": 1, "upscaling_resize_w": 150, "upscaling_resize_h": 100}
    assert webui.extra_single_image(apple, **size, **ask).image.size == (150, 100)
    assert webui.extra_single_image(apple, upscaling_crop=False, **size, **ask).image.size == (150, 150)
    assert webui.extra_single_image(apple).image.tobytes() == apple.tobytes(), "no upscaler leaves it as it is"
    green = Image.new("RGB", (32, 32), "green")
    several = webui.extra_batch_images([apple, green], upscaling_resize=2, **ask).images
    assert [image.size for image in several] == [(128, 128), (64, 64)]
    assert np.asarray(several[1]).mean((0, 1)) == pytest.approx((0, 128, 0), abs=12)
    for refused, word in (({"upscaler_1": "ESRGAN_4x"}, "ESRGAN_4x"), ({"gfpgan_visibility": 1}, "gfpgan_visibility")):
        with pytest.raises(RuntimeError, match=word):
            webui.extra_single_image(apple, **refused)


def test_a_strength_of_nothing_leaves_the_picture_nearly_as_it_is(webui: WebUIApi) -> None:
    apple = webui.txt2img(prompt="a red apple", seed=7, width=64, height=64).image.convert("RGB")
    ask: dict[str, Any] = {"images": [apple], "seed": 1, "width": 64, "height": 64, "steps": 20}
    kept = webui.img2img(prompt="a red apple", denoising_strength=0, **ask).image
    assert np.abs(np.asarray(kept, float) - np.asarray(apple, float)).mean() < 20


def test_a_front_end_finds_its_lists(webui: WebUIApi) -> None:
    assert {one["name"] for one in webui.get_schedulers()} >= {"automatic"}
    assert webui.get_scripts() == {"txt2img": [], "img2img": []}
    assert webui.get_embeddings() == {"loaded": {}, "skipped": {}}
    assert webui.get_cmd_flags()["api"] is True
    assert webui.get_memory()["ram"].keys() in ({"free", "used", "total"}, {"error"})
    assert [one["name"] for one in webui.get_loras()] == ["woodcut"]
    empty = ("latent_upscale_modes", "sd_vae", "hypernetworks", "face_restorers", "prompt_styles")
    for name in (*empty, "realesrgan_models"):
        assert getattr(webui, f"get_{name}")() == []
    assert webui.refresh_checkpoints() is None


def test_a_source_comes_back_as_plain_base64(server: Server) -> None:
    buffer = BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "PNG")
    text = b64encode(buffer.getvalue()).decode()
    body = {"prompt": "a red apple", "width": 64, "height": 64, "steps": 4, "include_init_images": True}
    body["init_images"] = [f"data:image/png;base64,{text[:20]}\n{text[20:]}"]
    answer = httpx.post(f"{server.url}/sdapi/v1/img2img", json=body, headers=basic(server, "webui"), timeout=90)
    drawn, source = answer.json()["images"]
    assert source == text
    assert Image.open(BytesIO(b64decode(drawn))).info["parameters"].startswith("a red apple")


def test_a_wrong_password_is_refused_with_a_challenge(server: Server) -> None:
    answer = httpx.post(f"{server.url}/sdapi/v1/txt2img", auth=("ada", "wrong"), json={"prompt": "a cat"})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_nothing_is_asked_of_the_servers_own_machine_in_development(server: Server) -> None:
    assert WebUIApi(baseurl=f"{server.url}/sdapi/v1").util_get_model_names() == ["mezzotint-starter"]
    away = {"x-forwarded-for": "192.0.2.1"}
    assert httpx.get(f"{server.url}/sdapi/v1/sd-models", headers=away).status_code == 401
    other_page = {"sec-fetch-site": "cross-site"}
    assert httpx.post(f"{server.url}/sdapi/v1/interrupt", headers=other_page).status_code == 401


def test_progress_shows_the_picture_under_way_and_interrupt_ends_it(server: Server, webui: WebUIApi) -> None:
    assert webui.get_progress()["progress"] == 0
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(webui.txt2img, prompt="a cat", width=128, height=128, steps=80, n_iter=4)
        until = time.monotonic() + 60
        while not (shown := webui.get_progress())["current_image"]:  # another process's run: no event to wait for
            assert time.monotonic() < until
            time.sleep(0.05)
        assert 0 < shown["progress"] < 1
        assert shown["state"]["sampling_steps"] == 80
        assert shown["state"]["job_count"] == 4
        so_far = np.asarray(Image.open(BytesIO(b64decode(shown["current_image"]))))
        assert so_far.std() > 1
        stranger = WebUIApi(baseurl=f"{server.url}/sdapi/v1", username="b", password=server.token("bob", "free"))
        assert stranger.get_progress()["state"]["job_count"] == 0
        stranger.interrupt()
        assert webui.get_progress()["state"]["job_count"] == 4
        webui.skip()
        assert webui.get_progress()["state"]["job_count"] == 3
        webui.interrupt()
        with pytest.raises(RuntimeError, match="job_cancelled"):
            asked.result(60)


def test_open_webui_verifies_lists_chooses_and_draws(server: Server) -> None:
    """Its calls: verify the address, list models, set the model by sending all options back, draw."""
    with httpx.Client(base_url=server.url, headers=basic(server, "webui"), timeout=90) as client:
        client.get("/sdapi/v1/options").raise_for_status()
        models = [{"id": one["title"], "name": one["model_name"]} for one in client.get("/sdapi/v1/sd-models").json()]
        options = client.get("/sdapi/v1/options").json()
        options["sd_model_checkpoint"] = models[0]["id"]
        client.post("/sdapi/v1/options", json=options).raise_for_status()
        assert client.get("/sdapi/v1/options").json()["sd_model_checkpoint"] == models[0]["id"]
        options["sd_model_checkpoint"] = "another"
        assert client.post("/sdapi/v1/options", json=options).status_code == 404
        body = {"prompt": "a red apple", "batch_size": 1, "width": 64, "height": 64, "steps": 20, "negative_prompt": ""}
        drawn = client.post("/sdapi/v1/txt2img", json=body).json()
        assert Image.open(BytesIO(b64decode(drawn["images"][0]))).size == (64, 64)
        assert json.loads(drawn["info"])["prompt"] == "a red apple"


def test_open_webui_draws_by_openais_api_too(server: Server) -> None:
    headers = {"Authorization": f"Bearer {server.token('webui', 'pro')}"}
    body = {
        "model": "mezzotint-starter",
        "prompt": "a red apple --steps 2",
        "n": 1,
        "size": "64x64",
        "response_format": "b64_json",
    }
    answer = httpx.post(f"{server.url}/v1/images/generations", json=body, headers=headers, timeout=90)
    (image,) = answer.json()["data"]
    assert not image.get("url")
    assert Image.open(BytesIO(b64decode(image["b64_json"]))).format == "PNG"


def test_open_webui_edits_by_openais_api(server: Server) -> None:
    """Its form: every field as text, the picture as `image`, or as `image[]` where the chat has a list of them."""
    headers = {"Authorization": f"Bearer {server.token('webui', 'pro')}"}
    source = BytesIO()
    Image.new("RGB", (64, 64), "red").save(source, "PNG")
    body = {"model": "mezzotint-starter", "prompt": "a red apple --steps 4", "n": "1", "size": "64x64"}
    for name in ("image", "image[]"):
        answer = httpx.post(
            f"{server.url}/v1/images/edits",
            params={"api-version": "2025-04-01-preview"},
            data={**body, "response_format": "b64_json"},
            files={name: ("image.png", source.getvalue(), "image/png")},
            headers=headers,
            timeout=90,
        )
        (image,) = answer.json()["data"]
        assert Image.open(BytesIO(b64decode(image["b64_json"]))).size == (64, 64)
