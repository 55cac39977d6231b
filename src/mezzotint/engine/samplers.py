"""Another sampler for one run, over the model's own configuration."""

import copy
from typing import Any

from mezzotint.domain.drawing.sampler import find_sampler
from mezzotint.domain.errors import RunFailed


def with_sampler(pipeline: Any, name: str | None) -> Any:
    """The pipeline itself, or a shallow copy with another sampler. Raises: RunFailed for a name that is not known."""
    if name is None:
        return pipeline
    import diffusers

    sampler = find_sampler(name)
    if sampler is None:
        raise RunFailed(f"there is no sampler {name!r}")
    twin = copy.copy(pipeline)
    kind = getattr(diffusers, sampler.scheduler)
    # past the pipeline's own __setattr__, which would write the change into the configuration that all runs share
    object.__setattr__(twin, "scheduler", kind.from_config(pipeline.scheduler.config, **dict(sampler.settings)))
    return twin
