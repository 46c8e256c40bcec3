"""The `microrun` command."""

from __future__ import annotations

import sys

from microrun.cli.interrupts import CODE, heeded


def main() -> None:
    """Run the command line; Ctrl-C is one line, also while its parts are still being imported."""
    with heeded():
        try:
            from microrun.cli.app import run

            run()
        except KeyboardInterrupt:
            print("error: interrupted", file=sys.stderr)
            sys.exit(CODE)
        except MemoryError:  # before there is anything that could say more
            print("error: not enough memory", file=sys.stderr)
            sys.exit(1)


if __name__ == "__main__":
    main()
