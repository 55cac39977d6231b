"""What lives as long as the process is out of the collector's sight, and what a model is made of later is not."""

import subprocess
import sys

PROGRAM = """
import gc
from mezzotint.config import Settings
from mezzotint.main.wiring import find_models, stock_of
settings = Settings(device="cpu")
stock = stock_of(settings, find_models(settings))
assert gc.get_freeze_count() == 0
stock.prepare()
import sys
held = gc.get_freeze_count()
assert held > 100_000 and "torch" in sys.modules and "diffusers" in sys.modules, held
stock.load(stock.warm[0])
assert gc.get_freeze_count() <= held, "a model that leaves must be found by the collector"
"""


def test_what_every_model_needs_is_kept_from_the_collector_and_models_are_not() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
