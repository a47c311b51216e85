"""Runs the command line: ``lengthwise``, or ``python -m lengthwise``."""

from lengthwise.cli import start


def main() -> None:
    """The entry point."""
    start.begin()
    from lengthwise.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
