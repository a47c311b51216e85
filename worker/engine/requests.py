"""Checks of requests, and their limits, for all backends."""

from collections.abc import Iterable

from worker.engine.protocol import EngineError, Request


def limit_of_target(request: Request, positions: int | None) -> int:
    """How many tokens an encoder–decoder may write after the prefix, which takes up ``positions`` as well."""
    n_free = positions - len(request.decoder_prefix) if positions else request.max_new_tokens
    return min(request.max_new_tokens, n_free)


def limit_of_continuation(request: Request, context: int) -> int:
    """How many tokens a decoder-only model may write: its ``context`` also holds the input and the prefix."""
    return min(request.max_new_tokens, context - len(request.tokens) - len(request.decoder_prefix))


def refuse_beams(requests: Iterable[Request], unable: str) -> None:
    """Raises ``EngineError`` if a request asks for beam search; ``unable`` names the engine or model without it."""
    if any(request.beams > 1 for request in requests):
        raise EngineError(f"{unable} has no beam search")


def refuse_mixed_beams(requests: Iterable[Request]) -> None:
    """Raises ``EngineError`` if a request combines beam search with stop strings or a temperature."""
    if any(request.beams > 1 and (request.stop or request.sampling.temperature) for request in requests):
        raise EngineError("beams cannot be combined with stop strings or a temperature")


def refuse_unreadable(requests: Iterable[Request], context: int) -> None:
    """Raises ``EngineError`` if a request has no tokens, or more than the model can read."""
    if any(not 0 < len(request.tokens) <= context for request in requests):
        raise EngineError(f"a request is empty or longer than {context} tokens")
