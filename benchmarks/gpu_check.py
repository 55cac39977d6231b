"""Thirteen checks of the engine on a device, in one command: what must be so before a GPU serves anybody.

    python benchmarks/gpu_check.py [--device cuda:0] [--size full] [--out gpu_check.json]

No network and no weights but the starter model's: the large models are random ones, of the public models' sizes where
memory allows. On a GPU it takes less than ten minutes; `--device cpu` takes tiny models and says, check by check, what
a CPU was asked instead. The exit code is 1 when a check fails. See docs/how-to/gpu.md.
"""

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path

from mezzotint.environment import set_device_environment, wait_passively

LIMIT_S = 540.0  # no check begins later, so that the last one ends within ten minutes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0", help="cpu, or cuda:N")
    parser.add_argument("--size", choices=["full", "toy"], help="of the random models; default: full, toy on a CPU")
    parser.add_argument("--out", type=Path, default=Path("gpu_check.json"), help="the JSON document's file")
    args = parser.parse_args()
    wait_passively()
    set_device_environment()
    warnings.simplefilter("ignore")
    return check(args.device, args.size, args.out)


def check(device: str, size: str | None, out: Path) -> int:
    import diffusers
    import torch
    import transformers
    from gpu_checks import basics, dtypes, exactness, faults, speed, styles
    from gpu_checks.models import Size
    from gpu_checks.report import Setup, document, run_checks, write

    from mezzotint.engine.device.choice import list_gpus, unused_gpu

    for library in (diffusers.utils, transformers.utils):
        library.logging.set_verbosity_error()
    device = "cuda:0" if device == "cuda" else device
    if device != "cpu" and not list_gpus():
        print(unused_gpu() or "PyTorch sees no CUDA device; --device cpu checks the rest", file=sys.stderr)
        return 2
    if device == "cpu":
        torch.set_num_threads(1)
    else:
        torch.cuda.set_device(device)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        chosen = Size(size) if size else Size.TOY if device == "cpu" else Size.FULL
        setup = Setup(device=torch.device(device), size=chosen, folder=Path(folder))
        groups = (basics, exactness, faults, speed, dtypes, styles)
        results = run_checks([one for group in groups for one in group.CHECKS], setup, limit_s=LIMIT_S)
        found = document(results, setup, time.monotonic() - begun)
    write(out, found)
    print(f"\n{found['passed']} of {found['of']} checks passed in {found['seconds']} s; {out}")
    return int(found["passed"] < found["of"])


if __name__ == "__main__":
    sys.exit(main())
