"""The command line. ``lengthwise.cli.main`` registers every command; each module here holds those of one subject.

Output for programs goes to stdout, as JSON with ``--json``. Tables for people go to stdout, messages to stderr.
The exit codes are in ``lengthwise.cli.connection``.
"""
