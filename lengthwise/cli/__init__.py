"""Commands that talk to an API, wherever it is: a module each, registered in ``lengthwise.cli.main``.

What is for programs goes to stdout, as JSON with ``--json``; what is for people is a table there, or goes to stderr.
They exit with 0; 1 where items failed; 2 for a mistake in how they were called; 3 where the server refused or is away.
"""
