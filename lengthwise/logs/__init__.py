"""Logs of every process: one line an event, as JSON or for people, with the ids of what it is about.

A line holds our own sentences and ids. What a customer sent is in no line: no message of a library's error, no local
value, no path that a caller wrote. Knows nothing of settings: ``set_up`` is told the form and the level.
"""

from lengthwise.logs.context import bound, carried, current, named
from lengthwise.logs.process import set_up
from lengthwise.logs.raised import raised

__all__ = ["bound", "carried", "current", "named", "raised", "set_up"]
