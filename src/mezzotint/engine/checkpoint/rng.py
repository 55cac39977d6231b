"""The beginnings of a run's random streams: a replay that begins there draws the same numbers."""

from typing import Any

import torch

from mezzotint.domain.errors import CheckpointCorrupt
from mezzotint.engine.checkpoint.codec import VersionedTensor
from mezzotint.engine.isolation import ThreadState, stream_of
from mezzotint.engine.tree import map_leaves


class RandomStreams:
    """The generators in a call's arguments, replaced by copies of the run's own, and the global streams' first states.

    kwargs: the arguments with those copies in place.
    """

    def __init__(self, kwargs: dict[str, Any]) -> None:
        own: dict[int, torch.Generator] = {}

        def replace(value: Any) -> Any:
            if not isinstance(value, torch.Generator):
                return value
            if id(value) not in own:
                own[id(value)] = torch.Generator(value.device)
                own[id(value)].set_state(value.get_state())
            return own[id(value)]

        self.kwargs = {
            name: map_leaves(value, replace) if type(value) in (list, tuple) else replace(value)
            for name, value in kwargs.items()
        }
        self._generators = list(own.values())
        self._states = [generator.get_state() for generator in self._generators]
        self._seed: int | None = None
        self._device: torch.Tensor | None = None

    def begin(self, state: ThreadState) -> None:
        """Note the global streams of a new run; a resumed one gets those that its checkpoint began with."""
        if self._seed is not None:
            state.torch_rng = stream_of(self._seed)
        if self._device is not None and state.device_rng is not None:
            state.device_rng = self._device
        self._seed, self._device = state.seed if self._seed is None else self._seed, state.device_rng

    def document(self) -> dict[str, Any]:
        """For a checkpoint: seeds of generators where those say it all, else states."""
        generators: list[Any] = []
        for generator, state in zip(self._generators, self._states, strict=True):
            seed = generator.initial_seed()
            fresh = torch.Generator(generator.device).manual_seed(seed).get_state()
            generators.append(seed if torch.equal(fresh, state) else VersionedTensor(state))
        device = None if self._device is None else VersionedTensor(self._device)
        return {"generators": generators, "seed": self._seed, "device_rng": device}

    def restore(self, document: dict[str, Any]) -> None:
        """Begin where the checkpoint's run began. Raises: CheckpointCorrupt."""
        states = document.get("generators")
        if not isinstance(states, list) or len(states) != len(self._generators):
            raise CheckpointCorrupt("the call has another number of generators")
        try:
            for generator, state in zip(self._generators, states, strict=True):
                generator.manual_seed(state) if isinstance(state, int) else generator.set_state(state.tensor)
            stream_of(document["seed"])
            self._device = None if document["device_rng"] is None else document["device_rng"].tensor
        except (RuntimeError, TypeError, ValueError, AttributeError, KeyError) as error:
            raise CheckpointCorrupt("a random state cannot be read") from error
        self._states = [generator.get_state() for generator in self._generators]
        self._seed = document["seed"]
