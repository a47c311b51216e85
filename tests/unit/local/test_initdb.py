"""Why initdb made no database, in one line."""

import pytest

from lengthwise.local.embedded.postgres import _reason


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "x FATAL:  could not write to file: No space left on device\nx STATEMENT:  CREATE\n"
            "child process exited with exit code 1\ninitdb: removing data directory",
            "x FATAL:  could not write to file: No space left on device",
        ),
        (
            'initdb: error: could not create directory "p": Read-only file system\ninitdb: removing contents',
            'initdb: error: could not create directory "p": Read-only file system',
        ),
        ("something else\nat last\n", "at last"),
        ("", "it was killed"),
    ],
)
def test_the_line_that_says_what_is_wrong_is_told(said: str, reason: str) -> None:
    assert _reason(said) == reason
