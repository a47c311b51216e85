"""How many items each part of a benchmark has, as its arguments say."""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence


def items_by_part(
    parser: ArgumentParser, parts: Sequence[str], items: Sequence[int] | None, otherwise: Mapping[str, int]
) -> Mapping[str, int]:
    """``items`` in the order of ``parts``, or what there is ``otherwise``; ends the program if they do not match."""
    if not items:
        return otherwise
    if len(items) != len(parts):
        parser.error("--items needs one number for each of --parts")
    return dict(zip(parts, items, strict=True))
