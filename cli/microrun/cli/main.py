"""The `microrun` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; Ctrl-C is one line, also while its parts are still being imported."""
    try:
        from microrun.cli.app import run

        run()
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
