"""The pictures that one prompt asks for by `--repeat`, and how `--chaos` sets them apart."""

from dataclasses import replace

from mezzotint.domain.prompt import Prompt
from mezzotint.policy.admission.prompt_parameters import MAX_CHAOS, MAX_STYLIZE, NORMAL_STYLIZE
from mezzotint.policy.admission.request import JobRequest


def count_repeats(request: JobRequest, prompt: Prompt) -> int:
    return (prompt.repeat if request.repeat is None else request.repeat) or 1


def expand_repeats(prompt: Prompt, num: int) -> list[Prompt]:
    """The prompt `num` times, each as one would type it for that picture alone."""
    alone = replace(prompt, repeat=None, chaos=None)
    if not prompt.chaos:
        return [alone] * num
    usual = NORMAL_STYLIZE if prompt.stylize is None else prompt.stylize
    return [replace(alone, stylize=stylize_in_grid(usual, prompt.chaos, nth)) for nth in range(num)]


def stylize_in_grid(stylize: int, chaos: int, nth: int) -> int:
    """The `--stylize` of the nth picture of a grid, counted from 0; the first keeps `stylize`.

    Down and up in turns: to the ends of the scale, then half the way, then between (van der Corput's sequence), each as
    far as `chaos` of 100 says.
    """
    if nth == 0:
        return stylize
    share = chaos / MAX_CHAOS * (1 - _between((nth - 1) // 2))
    end = 0 if nth % 2 else MAX_STYLIZE
    return round(stylize + share * (end - stylize))


def _between(number: int) -> float:
    """Van der Corput: 0, 1/2, 1/4, 3/4, 1/8 ..."""
    return int(f"{number:b}"[::-1], 2) / (1 << number.bit_length()) if number else 0.0
