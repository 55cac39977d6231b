"""The command `mezzotint`, also as `python -m mezzotint`. Ctrl-C ends it without a trace at any moment."""

import os
import signal
import sys

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells give it."""


def main() -> None:
    # a KeyboardInterrupt amid imports may be swallowed by what is imported; `report_errors` has Python's handler again
    signal.signal(signal.SIGINT, lambda number, frame: _exit_at_once())
    try:
        from mezzotint.main.commands import app  # seconds on a cold disk

        app(prog_name="mezzotint")
    except KeyboardInterrupt:
        print("mezzotint: interrupted", file=sys.stderr)  # noqa: T201
        sys.exit(INTERRUPTED)


def _exit_at_once() -> None:
    os.write(2, b"mezzotint: interrupted\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
