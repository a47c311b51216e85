"""What every backend asks of the requests it is given."""

from collections.abc import Iterable

from worker.engine.protocol import EngineError, Request


def refuse_unreadable(requests: Iterable[Request], context: int) -> None:
    """Raises ``EngineError`` where a request has no tokens, or more than the model reads."""
    if any(not 0 < len(request.tokens) <= context for request in requests):
        raise EngineError(f"a request is empty or longer than {context} tokens")
