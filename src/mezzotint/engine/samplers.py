"""Another sampler for one run, or its own with noise in its steps, over the model's own configuration."""

import copy
from typing import Any

from mezzotint.domain.drawing.sampler import find_sampler
from mezzotint.domain.errors import RunFailed
from mezzotint.engine.forecasting.clean import ADDS_NOISE


def with_sampler(pipeline: Any, name: str | None, eta: float = 0.0) -> Any:
    """The pipeline itself, or a shallow copy with another sampler. eta: noise that its steps add.

    Raises: RunFailed for a name that is not known.
    """
    if name is None and not eta:
        return pipeline
    import diffusers

    kind, settings = type(pipeline.scheduler), dict[str, Any]()
    if name is not None:
        sampler = find_sampler(name)
        if sampler is None:
            raise RunFailed(f"there is no sampler {name!r}")
        kind, settings = getattr(diffusers, sampler.scheduler), dict(sampler.settings)
    scheduler = kind.from_config(pipeline.scheduler.config, **settings)
    setattr(scheduler, ADDS_NOISE, eta > 0)
    twin = copy.copy(pipeline)
    # past the pipeline's own __setattr__, which would write the change into the configuration that all runs share
    object.__setattr__(twin, "scheduler", scheduler)
    return twin
