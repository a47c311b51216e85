"""What every backend asks of the requests it is given."""

from collections.abc import Iterable

from worker.engine.protocol import EngineError, Request


def limit_of_target(request: Request, positions: int | None) -> int:
    """How many tokens an encoder–decoder may write behind the prefix, which has a place among its ``positions`` too."""
    room = positions - len(request.decoder_prefix) if positions else request.max_new_tokens
    return min(request.max_new_tokens, room)


def limit_of_continuation(request: Request, context: int) -> int:
    """How many tokens a decoder-only model may write, whose ``context`` holds what it has read as well."""
    return min(request.max_new_tokens, context - len(request.tokens) - len(request.decoder_prefix))


def refuse_beams(requests: Iterable[Request], unable: str) -> None:
    """Raises ``EngineError`` where a request asks for beams of an engine or model, ``unable``, that has none."""
    if any(request.beams > 1 for request in requests):
        raise EngineError(f"{unable} has no beam search")


def refuse_mixed_beams(requests: Iterable[Request]) -> None:
    """Raises ``EngineError`` where a request asks for beams together with what they cannot be combined with."""
    if any(request.beams > 1 and (request.stop or request.sampling.temperature) for request in requests):
        raise EngineError("beams go neither with stop strings nor with a temperature")


def refuse_unreadable(requests: Iterable[Request], context: int) -> None:
    """Raises ``EngineError`` where a request has no tokens, or more than the model reads."""
    if any(not 0 < len(request.tokens) <= context for request in requests):
        raise EngineError(f"a request is empty or longer than {context} tokens")
