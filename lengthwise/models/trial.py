"""Tries what a model's folder brings in a confined child, before this process evaluates it itself."""

import hashlib

from lengthwise.confined import Budget, Confined, ConfinedError, OverBudget
from lengthwise.errors import ConfigurationError

#: The sums of what has passed, so that the same file is tried once.
_passed: set[bytes] = set()


def run(function: str, content: bytes, name: str, budget: Budget) -> None:
    """Runs ``function`` (see ``confined``) on the content of the file ``name``.

    Raises ``ConfigurationError`` if it fails or needs more than its budget, and ``Unavailable`` on a busy machine.
    """
    key = hashlib.sha256(function.encode() + content).digest()
    if key in _passed:
        return
    confined = Confined(function, budget)
    try:
        confined.call(content)
    except OverBudget as error:
        raise ConfigurationError(f"{name} needs too much {error.resource}") from None
    except ConfinedError:
        raise ConfigurationError(f"{name} cannot be used") from None
    finally:
        confined.close()
    _passed.add(key)
