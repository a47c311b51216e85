"""What a rule of a convention is."""

from typing import NamedTuple

from lengthwise.text.convention import Convention


class Rule(NamedTuple):
    """A pattern of a convention. Of the rules of one first character, the first that matches wins.

    A pattern that reads up to its end never reads past the next beginning of its own, or reads a bounded number of
    characters. Thus all matches of a text together take linear time.
    """

    convention: Convention
    #: The character that a match begins with.
    first: str
    pattern: str
