"""The command `mezzotint`, also as `python -m mezzotint`. Ctrl-C ends it without a trace at any moment."""

import sys

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells give it."""


def main() -> None:
    try:
        from mezzotint.main.commands import app  # seconds on a cold disk

        app(prog_name="mezzotint")
    except KeyboardInterrupt:
        print("mezzotint: interrupted", file=sys.stderr)  # noqa: T201
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
