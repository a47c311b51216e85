"""Runs the command line: ``python -m lengthwise``."""

if __name__ == "__main__":
    from lengthwise.cli.main import main

    main()
