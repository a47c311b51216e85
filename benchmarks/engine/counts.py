"""Reads from the command line how many items each part of a benchmark has."""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence


def items_by_part(
    parser: ArgumentParser, parts: Sequence[str], items: Sequence[int] | None, otherwise: Mapping[str, int]
) -> Mapping[str, int]:
    """Returns the number of items by part: ``items`` in the order of ``parts``, or ``otherwise`` if there are none.

    Ends the program if the two lists have different lengths.
    """
    if not items:
        return otherwise
    if len(items) != len(parts):
        parser.error("--items needs one number for each of --parts")
    return dict(zip(parts, items, strict=True))
