"""Stop a run before its schedule ends.

A pipeline does work of its own after its loop (it unpacks and decodes latents), so the loop runs to its end, at no
cost: after the last wanted step, denoiser calls are answered with zeros, and each step of the sampler returns the
estimate of the end result that it had at the last real step.
"""

from typing import Any

import torch

from mezzotint.engine.tree import map_leaves, tensors_in


def estimate_result(sampler: Any, output: Any, model_output: Any) -> torch.Tensor | None:
    """The sampler's estimate of the end result at the step that it has just taken; None where it has none.

    output: of the step. model_output: the denoiser's answer that the step was given, guidance included.
    """
    tensors = list(tensors_in(output))
    if len(tensors) > 1 and tensors[1].shape == tensors[0].shape:
        return tensors[1].detach()
    if tensors and type(sampler).__name__ == "FlowMatchEulerDiscreteScheduler":
        # along a straight path from noise to picture the velocity is the same everywhere
        rest: torch.Tensor = sampler.sigmas[sampler.step_index] * model_output
        return (tensors[0] - rest).to(tensors[0].dtype).detach()
    kept = getattr(sampler, "model_outputs", None)  # of multistep samplers that work with what they expect
    if tensors and kept and isinstance(kept[-1], torch.Tensor) and works_with_estimates(sampler.config):
        return kept[-1].to(tensors[0].dtype).detach()
    return None


def works_with_estimates(config: Any) -> bool:
    """Say whether a multistep sampler of this configuration keeps estimates of the end result, not of the noise."""
    return str(config.get("algorithm_type", "++")).endswith("++") and bool(config.get("predict_x0", True))


def replace_latents(output: Any, latents: torch.Tensor) -> Any:
    """The step's output with other latents, which the pipeline may write to."""
    waiting = [latents]

    def replace(leaf: Any) -> Any:
        return waiting.pop().clone() if waiting and isinstance(leaf, torch.Tensor) else leaf

    return map_leaves(output, replace)
