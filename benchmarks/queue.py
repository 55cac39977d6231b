"""Our queue against pgqueuer and procrastinate on one PostgreSQL; see `queue_peers.py`.

    python benchmarks/queue.py [--jobs 200] [--rounds 3] [--deep 100000] [--out benchmarks/results/queue.json]

Needs the extra `bench`. A script beside this one that imports `queue` means the standard library's.
"""

import sys
import sysconfig
from importlib.machinery import SourceFileLoader
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    from benchmarks.queue_peers import main

    main()
else:
    SourceFileLoader("queue", str(Path(sysconfig.get_path("stdlib"), "queue.py"))).exec_module(sys.modules[__name__])
