"""Finds what a translation must not change: placeholders of programs, links, tags, paths, and messages with branches.

Pure, and linear in the text's length. Knows nothing of models, marks or formats of files. ``docs/placeholders.md``
shows each convention with examples.
"""

from lengthwise.text.convention import ALL, OPTIONAL, STRICT, Convention
from lengthwise.text.protection.search import counts, find

__all__ = ["ALL", "OPTIONAL", "STRICT", "Convention", "counts", "find"]
