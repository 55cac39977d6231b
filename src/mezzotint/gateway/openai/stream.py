"""Streams a job as OpenAI's server-sent events: partial images of the latents, then the finished image."""

import asyncio
import json
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from mezzotint.actions.finish import BackingServices
from mezzotint.domain.job import Job
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.image_requests import Delivered, select_succeeded
from mezzotint.gateway.openai.errors import error_body
from mezzotint.gateway.openai.schemas import ImageOptions, ImagesAnswer
from mezzotint.gateway.streams.wait import watch_job
from mezzotint.media import convert_picture

KEEP_ALIVE_S = 10.0


async def stream_events(
    backing: BackingServices,
    job: Job,
    options: ImageOptions,
    name: str,
    *,
    collect: Callable[[list[Job]], Awaitable[ImagesAnswer]],
    delivered: Delivered,
) -> AsyncGenerator[str]:
    """Stream at most `partial_images` partial images, evenly spread over the steps, then the result or an error.

    name: how the events' names begin. delivered: called once the result was sent.
    """
    wanted = options.partial_images or 0
    shown = 0
    sent_at = time.monotonic()
    async with aclosing(watch_job(backing, job)) as news:
        async for item in news:
            if isinstance(item, Job):
                job = item
                if time.monotonic() - sent_at > KEEP_ALIVE_S:
                    sent_at = time.monotonic()
                    yield ": keep-alive\n\n"
                continue
            is_due = item.step * (wanted + 1) >= item.num_steps * (shown + 1)
            if item.preview and shown < wanted and is_due and item.step < item.num_steps:
                data = b64decode(item.preview.partition(",")[2])
                data = await asyncio.to_thread(convert_picture, data, options.form, options.output_compression or 90)
                partial = {"b64_json": b64encode(data).decode("ascii"), "partial_image_index": shown}
                yield _format_event(f"{name}.partial_image", _describe_image(job, options) | partial)
                shown, sent_at = shown + 1, time.monotonic()
    try:
        answer = await collect(select_succeeded([job]))
    except ApiError as error:
        yield format_error_event(error)
        return
    picture: dict[str, Any] = {"b64_json": answer.data[0].b64_json, "url": answer.data[0].url, "notes": answer.notes}
    picture["usage"] = answer.usage.model_dump()
    yield _format_event(f"{name}.completed", _describe_image(job, options) | picture)
    await delivered()


def format_error_event(error: ApiError) -> str:
    return f"event: error\ndata: {json.dumps({'error': error_body(error)})}\n\n"


def _describe_image(job: Job, options: ImageOptions) -> dict[str, Any]:
    width, height = options.fitted or (job.parameters.width, job.parameters.height)
    return {
        "created_at": int(job.created_at.timestamp()),
        "size": f"{width}x{height}",
        "quality": options.told_quality,
        "background": "opaque",
        "output_format": options.form,
    }


def _format_event(kind: str, event: dict[str, Any]) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **event})}\n\n"
