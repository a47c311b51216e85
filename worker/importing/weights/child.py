"""Runs a conversion of a stranger's weights in a confined child: without network, with limits of time and memory."""

import json
from collections.abc import Mapping
from typing import Any

from lengthwise.confined import Budget, Confined, ConfinedError, OverBudget
from lengthwise.errors import ConfigurationError, InvalidInput, Unavailable

#: What libraries take, and what small files may.
_LEAST_SECONDS, _LEAST_BYTES = 300, 2 << 30
#: GGUF, the slowest form, takes 100 s a gigabyte on one core.
_SECONDS_A_GIGABYTE = 600
#: By the clock, a child may wait for the disk and for other work.
_PATIENCE = 20


def convert(function: str, request: Mapping[str, Any], what: str, n_bytes: int, growth: int) -> dict[str, Any]:
    """Runs ``module:function`` of this package on the request, which it gets as JSON, and returns its answer.

    ``n_bytes`` is the size of the files that it reads, and ``growth`` how many times that it may take in memory.
    Raises ``ConfigurationError``, which begins with ``what``: the name of the file or the model.
    """
    seconds = _LEAST_SECONDS + _SECONDS_A_GIGABYTE * n_bytes / (1 << 30)
    budget = Budget(seconds, _LEAST_BYTES + growth * n_bytes)
    confined = Confined(f"{__package__}.{function}", budget, patience_seconds=_PATIENCE * seconds)
    try:
        answer = confined.call(json.dumps(request).encode())
    except OverBudget as error:
        message = f"{what} needs more {error.resource} than its size explains, or than this machine has"
        raise ConfigurationError(message) from None
    except InvalidInput as error:
        raise ConfigurationError(str(error)) from None
    except ConfinedError as error:
        raise ConfigurationError(f"{what} cannot be converted ({error})") from None
    except Unavailable as error:
        raise ConfigurationError(f"{what} cannot be converted now: {error}") from None
    finally:
        confined.close()
    return dict(json.loads(answer))
