"""The recorder of a run: its samplers and guiders, the forms of its denoiser calls, its last step.

It notes them by reference at every step and copies them only when a checkpoint is taken. `Execution` decides when, and
replays.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from diffusers.guiders import BaseGuidance

from mezzotint.domain.errors import CheckpointCorrupt
from mezzotint.engine.checkpoint import sampler_state
from mezzotint.engine.checkpoint.codec import VersionedTensor, copy_to_host, encode
from mezzotint.engine.checkpoint.output_shapes import OutputShapes, has_opaque
from mezzotint.engine.checkpoint.snapshot import Snapshot
from mezzotint.engine.checkpoint.step_output import takes_only_latents
from mezzotint.engine.device.faults import free_frames, is_out_of_memory
from mezzotint.engine.errors import CannotCheckpoint
from mezzotint.engine.tree import tensors_in


class RecorderHost(Protocol):
    """The part of the hub that a recorder uses."""

    @property
    def device(self) -> torch.device: ...

    def count_unsaved(self, reason: str) -> None: ...


@dataclass(slots=True, eq=False)
class Member:
    """A sampler or guider of the run; a sampler's `base` is None until its first step."""

    target: Any
    base: sampler_state.Baseline | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Boundary:
    """The state right after a step, by reference. forecast: what the run's forecaster describes."""

    steps: int
    num_calls: int
    output: list[Any]
    earlier: list[Any]  # [step, output] of the last steps that other samplers took
    differences: list[dict[str, Any] | None]
    forecast: dict[str, Any] | None


class Recorder:
    """specs: forms of the answers to the run's denoiser calls, in their order."""

    def __init__(self, pipeline: Any, members: list[Any], host: RecorderHost) -> None:
        self.specs = OutputShapes()
        self._host = host
        self._only_latents = takes_only_latents(pipeline)
        # a guider may hold results of calls by its first step: its baseline is what it is now
        self._members = [Member(m, None if hasattr(m, "step") else self._baseline(m)) for m in members]
        self._last: dict[int, tuple[int, list[Any]]] = {}  # of each sampler by id: its last step, and what it returned
        self._boundary: Boundary | None = None
        self._unsavable: str | None = None

    @property
    def has_boundary(self) -> bool:
        return self._boundary is not None

    @property
    def has_guider(self) -> bool:
        return any(isinstance(member.target, BaseGuidance) for member in self._members)

    def list_held(self) -> list[Any]:
        """The values of the last step that this keeps alive."""
        at = self._boundary
        return [] if at is None else [at.output, at.earlier, at.differences]

    def add_answer(self, form: Any, *, is_first_step: bool) -> None:
        """The form of the answer to one more denoiser call."""
        if not is_first_step and has_opaque(form):
            self._unsavable = "a denoiser returns an opaque object after the first step"
        self.specs.add(form)

    def begin_sampler(self, sampler: Any) -> None:
        """Note what the sampler holds at its own first step."""
        if not any(member.target is sampler for member in self._members):
            self._members.append(Member(sampler))
        for member in self._members:
            if member.base is None and member.target is sampler:
                member.base = self._baseline(sampler)

    def record_step(
        self, sampler: Any, steps: int, num_calls: int, output: Any, forecast: dict[str, Any] | None
    ) -> None:
        """Note the state right after a step; what cannot be saved is counted."""
        try:
            if self._unsavable is not None:
                raise CannotCheckpoint(self._unsavable)
            differences = [sampler_state.find_changes(m.target, m.base) if m.base else None for m in self._members]
            self._last[id(sampler)] = (steps, kept := self._select_tensors(output))
            earlier = [[step, others] for key, (step, others) in self._last.items() if key != id(sampler)]
            self._boundary = Boundary(steps, num_calls, kept, earlier, differences, forecast)
        except Exception as error:  # noqa: BLE001 - raised again unless it concerns the checkpoint alone
            self.drop_boundary()
            self._count_unsaved(error)

    def drop_boundary(self) -> None:
        """Nothing to save until the next step."""
        self._boundary = None

    def release(self) -> None:
        """Let go of everything, once the run has ended."""
        self.drop_boundary()
        self._members, self._last = [], {}

    def snapshot(self, pipeline: str, origin: Any, fingerprint: dict[str, str]) -> Snapshot | None:
        """The noted state, copied to host memory; None where that cannot be done, which is counted."""
        boundary = self._boundary
        assert boundary is not None
        try:
            return self._copy(boundary, pipeline, origin, fingerprint)
        except Exception as error:  # noqa: BLE001 - raised again unless it concerns the checkpoint alone
            self._count_unsaved(error)
            return None

    # -- back from a checkpoint

    def restore_step(self, saved: Snapshot, num_calls: int, output: Any) -> Any:
        """The saved output of the saved step, after samplers and guiders are what they were.

        Raises: CheckpointCorrupt if the call got there otherwise.
        """
        if num_calls != saved.num_calls or len(saved.members) != len(self._members):
            raise CheckpointCorrupt("the call takes another course than the saved one")
        for member, state in zip(self._members, saved.members, strict=True):
            sampler_state.restore(member.target, member.base, state, self._host.device)
        return sampler_state.replace_output(output, saved.output)

    def restore_earlier(self, saved: Snapshot, at: int, sampler: Any, output: Any) -> Any:
        """Keep the last output of a sampler that did not take the saved step, such as a prior's: it is still needed."""
        for step, kept in saved.earlier:
            if step == at:
                output = sampler_state.replace_output(output, kept)
                self._last[id(sampler)] = (step, self._select_tensors(output))
        return output

    # -- its parts

    def _copy(self, boundary: Boundary, pipeline: str, origin: Any, fingerprint: dict[str, str]) -> Snapshot:
        copies: dict[int, VersionedTensor] = {}
        members = []
        for member, changes in zip(self._members, boundary.differences, strict=False):
            if member.base is not None and not member.digest:
                member.digest = member.base.digest()
            state = sampler_state.MemberState(
                name=type(member.target).__qualname__,
                baseline="" if changes is None else member.digest,
                changed=None if changes is None else copy_to_host(changes, copies),
            )
            members.append(state)
        return Snapshot(
            pipeline=pipeline,
            steps=boundary.steps,
            num_calls=boundary.num_calls,
            specs=self.specs.truncate(boundary.num_calls),
            output=copy_to_host(boundary.output, copies),
            earlier=copy_to_host(boundary.earlier, copies),
            members=members,
            forecast=copy_to_host(boundary.forecast, copies),
            origin=origin,
            fingerprint=fingerprint,
        )

    def _count_unsaved(self, error: Exception) -> None:
        """Count why there is no checkpoint; the run goes on without it. Raises: the error, if it is another fault."""
        if is_out_of_memory(error):
            free_frames(error)
            self._host.count_unsaved("memory ran out")
        elif isinstance(error, CannotCheckpoint):
            self._host.count_unsaved(str(error))
        else:
            raise error

    def _select_tensors(self, output: Any) -> list[Any]:
        """The part of a step's output that the pipeline uses, by reference."""
        tensors = list(tensors_in(output))
        return [encode(tensor) for tensor in (tensors[:1] if self._only_latents else tensors)]

    def _baseline(self, target: Any) -> sampler_state.Baseline:
        try:
            return sampler_state.take_baseline(target)
        except CannotCheckpoint as reason:
            self._host.count_unsaved(str(reason))
            return sampler_state.Baseline(raw={}, versions={}, encoded={"unreadable": str(reason)})
