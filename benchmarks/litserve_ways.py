"""LitServe's loops over a stock pipeline, as its users would write them: requests batched, and steps batched.

The loops are LitServe's; its request queue and its transport are replaced by ones on a `Line`'s clock.
"""

import asyncio
import copy
import threading
import time
from collections import deque
from dataclasses import dataclass
from queue import Empty
from typing import Any

import torch
from line import Job, Line
from litserve import LitAPI
from litserve.callbacks import CallbackRunner
from litserve.loops import BatchedLoop
from litserve.loops.continuous_batching_loop import ContinuousBatchingLoop, Output
from litserve.transport.base import MessageTransport
from litserve.utils import LitAPIStatus

SENTINEL = (None, None, None, None)  # LitServe's own sign that a loop should end


class Requests:
    """Stands for LitServe's request queue. Whoever blocks in it sleeps until `tell` says that time has passed."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._passed = threading.Condition()
        self._is_drained = False

    def get_nowait(self) -> tuple[Any, ...]:
        if self._line.is_over:
            return SENTINEL
        job = self._line.take(is_idle=self._line.num_going == 0)
        if job is None:
            raise Empty
        return 0, job.id, time.monotonic(), job

    def get(self, block: bool = True, timeout: float = 0.0) -> tuple[Any, ...]:
        until = self._line.now() + timeout
        with self._passed:
            while True:
                try:
                    return self.get_nowait()
                except Empty:
                    if self._line.now() >= until:
                        raise
                self._is_drained = True
                self._passed.notify_all()
                self._passed.wait()
                self._is_drained = False

    def tell(self) -> None:
        with self._passed:
            self._is_drained = False
            self._passed.notify_all()

    def wait_until_drained(self) -> None:
        """Until all that have arrived were taken: what would have happened in the meantime."""
        with self._passed:
            self._passed.wait_for(lambda: self._is_drained)


class Responses(MessageTransport):
    """Stands for LitServe's way back to its HTTP server."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def send(self, item: Any, consumer_id: int) -> None:
        _, (data, status, *_) = item
        if status == LitAPIStatus.ERROR:
            raise SystemExit(f"a request failed: {data}")
        if data is not None:
            self._line.finish(*data)

    async def areceive(self, *_: Any, **__: Any) -> dict[str, Any]:
        raise TypeError("nobody waits for responses here")


class RequestBatching(LitAPI):
    """Up to `width` waiting requests at a time; a stock call can take those that ask for the same steps."""

    def __init__(self, pipeline: Any, width: int) -> None:
        super().__init__(max_batch_size=width)
        self._pipeline = pipeline
        self.request_timeout = False
        self.pre_setup()

    def predict(self, batch: list[Job]) -> list[tuple[Job, Any]]:
        pictures: dict[int, Any] = {}
        for steps in dict.fromkeys(job.steps for job in batch):
            group = [job for job in batch if job.steps == steps]
            requests = [job.request() for job in group]
            request = requests[0] | {key: [one[key] for one in requests] for key in ("prompt", "generator")}
            pictures |= zip((job.id for job in group), self._pipeline(**request).images, strict=True)
        return [(job, pictures[job.id]) for job in batch]

    def __call__(self, line: Line) -> None:
        BatchedLoop()(self, "cpu", 0, Requests(line), Responses(line), {}, CallbackRunner())


@dataclass(slots=True)
class Going:
    """A picture in the making."""

    job: Job
    request: dict[str, Any]
    latents: torch.Tensor
    embeds: torch.Tensor
    scheduler: Any
    step: int = 0


class Continuous(LitAPI):
    """One step of all pictures at a time: the loop of a Stable Diffusion call, by hand, over rows at different steps.

    It takes every request at once and admits it between two steps: LitServe's own admission, which asks again when the
    next request comes or a second has passed, was slower.
    """

    def __init__(self, pipeline: Any, width: int) -> None:
        super().__init__(max_batch_size=width, stream=True)
        self._pipeline = pipeline
        self._width = width
        self._going: dict[int, Going] = {}
        self._waiting: deque[Job] = deque()
        self._negative: torch.Tensor | None = None
        self._requests: Requests | None = None

    def __call__(self, line: Line) -> None:
        self._requests, loop = Requests(line), ContinuousBatchingLoop()
        loop.pre_setup(self)
        asyncio.run(self._serve(loop, line, Responses(line)))

    async def _serve(self, loop: ContinuousBatchingLoop, line: Line, responses: Responses) -> None:
        """What `LitLoop.__call__` does, but with an end."""
        filling = asyncio.create_task(loop.schedule_task(self, None, self._requests, responses))
        while not line.is_over:
            await loop.run(self, "cpu", 0, self._requests, responses, {}, CallbackRunner())
            self._requests.tell()
            await asyncio.sleep(0)
        filling.cancel()

    # -- what LitServe's loop asks of an API

    def has_capacity(self) -> bool:
        return True

    def has_active_requests(self) -> bool:
        return bool(self._going or self._waiting)

    def add_request(self, uid: int, request: Job) -> None:
        self._waiting.append(request)

    @torch.no_grad()
    def step(self, previous: list[Output] | None) -> list[Output]:
        self._requests.wait_until_drained()
        while self._waiting and len(self._going) < self._width:
            self._admit(self._waiting.popleft())
        self._denoise(list(self._going.values()))
        self._requests.tell()
        return [self._output(going) for going in list(self._going.values())]

    # -- a Stable Diffusion call in three parts

    def _admit(self, job: Job) -> None:
        request, pipe = job.request(), self._pipeline
        if self._negative is None:
            self._negative = pipe.encode_prompt("", "cpu", 1, False)[0]
        side = pipe.unet.config.sample_size
        shape = (1, pipe.unet.config.in_channels, side, side)
        scheduler = copy.deepcopy(pipe.scheduler)
        scheduler.set_timesteps(job.steps)
        latents = torch.randn(shape, generator=request["generator"]) * scheduler.init_noise_sigma
        embeds = pipe.encode_prompt(job.prompt, "cpu", 1, False)[0]
        self._going[job.id] = Going(job, request, latents, embeds, scheduler)

    def _denoise(self, group: list[Going]) -> None:
        times = torch.stack([going.scheduler.timesteps[going.step] for going in group])
        latents = torch.cat([going.latents for going in group])
        embeds = torch.cat([self._negative.expand(len(group), -1, -1), *[going.embeds for going in group]])
        noise = self._pipeline.unet(torch.cat([latents] * 2), times.repeat(2), embeds, return_dict=False)[0]
        plain, guided = noise.chunk(2)
        scale = group[0].request["guidance_scale"]
        for i, going in enumerate(group):
            guess = plain[i : i + 1] + scale * (guided[i : i + 1] - plain[i : i + 1])
            going.latents = going.scheduler.step(guess, times[i], going.latents, return_dict=False)[0]
            going.step += 1

    def _output(self, going: Going) -> Output:
        if going.step < going.job.steps:
            return Output(going.job.id, None, LitAPIStatus.OK)
        del self._going[going.job.id]
        vae = self._pipeline.vae
        decoded = vae.decode(going.latents / vae.config.scaling_factor, return_dict=False)[0]
        picture = self._pipeline.image_processor.postprocess(decoded, output_type="np")[0]
        return Output(going.job.id, (going.job, picture), LitAPIStatus.FINISH_STREAMING)
