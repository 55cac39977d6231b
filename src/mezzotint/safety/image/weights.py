"""Load the ONNX weights beside this file, each once a process, after a comparison with their checksums."""

from functools import lru_cache
from hashlib import sha256
from importlib.resources import files

from onnxruntime import InferenceSession, SessionOptions

from mezzotint.domain.errors import ModelCorrupt, ModelMissing

FOLDER = files("mezzotint.safety.image").joinpath("weights")
SUMS = "SHA256SUMS"


@lru_cache
def load_session(name: str) -> InferenceSession:
    """Load weights to run on one thread of the CPU. name: of the file. Raises: ModelMissing, ModelCorrupt."""
    data = _read(name)
    if sha256(data).hexdigest() != read_sum(name):
        raise ModelCorrupt(f"the image filter's weights {name} are damaged: their SHA-256 is not the one in {SUMS}")
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # an arena would keep the largest picture's memory for ever
    return InferenceSession(data, options, providers=["CPUExecutionProvider"])


def read_sum(name: str) -> str:
    """Return the SHA-256 that the file must have. Raises: ModelMissing, ModelCorrupt."""
    for line in _read(SUMS).decode().splitlines():
        digest, _, listed = line.partition("  ")
        if listed == name:
            return digest
    raise ModelCorrupt(f"the image filter's weights {name} are not listed in {SUMS}")


def _read(name: str) -> bytes:
    try:
        return FOLDER.joinpath(name).read_bytes()
    except OSError as error:
        raise ModelMissing(f"the image filter's weights are not at {FOLDER.joinpath(name)}") from error
