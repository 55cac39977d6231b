"""Tiny pipelines of real diffusers classes with seeded random weights, and requests for them.

A `Species` builds a pipeline and, for a number i, the arguments of request i: another seed, prompt and guidance each.
Text encoders are left out, since every one of these pipelines takes embeddings.
"""

from tests.conformance.engine.zoo.classic import CLASSIC
from tests.conformance.engine.zoo.flows import FLOWS, flux, flux_request
from tests.conformance.engine.zoo.parts import Species
from tests.conformance.engine.zoo.single_transformers import SINGLE
from tests.conformance.engine.zoo.unprompted import UNPROMPTED
from tests.conformance.engine.zoo.xl import XL, sdxl, sdxl_request

SPECIES: list[Species] = [*CLASSIC, *XL, *FLOWS, *SINGLE, *UNPROMPTED]

__all__ = ["SPECIES", "Species", "flux", "flux_request", "sdxl", "sdxl_request"]
