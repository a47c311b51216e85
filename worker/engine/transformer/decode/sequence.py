"""The state of one request while it is decoded: its tokens so far, and why it finished."""

from collections.abc import Callable, Sequence
from random import Random

from worker.engine.protocol import Completion, FinishReason, Request
from worker.engine.transformer.decode.history import History
from worker.engine.transformer.decode.vocabulary import Vocabulary

#: Converts token ids to text, special tokens included.
Detokenizer = Callable[[Sequence[int]], str]

#: To find a stop string, one token for each of its bytes and this many more are converted to text. The margin is needed
#: because a token may be a part of a character, or have no text.
_TAIL_MARGIN = 8


class RunningSequence:
    """A request and its growing answer of at most ``limit`` tokens.

    The ids of ``forced`` are written first. They do not count towards the limit, and are no part of the answer. Only
    stop strings need ``decode``. With ``forces_end``, the last token before the limit is the end token.
    """

    def __init__(
        self,
        request: Request,
        vocabulary: Vocabulary,
        limit: int,
        forced: Sequence[int] = (),
        decode: Detokenizer | None = None,
        history: History | None = None,
        forces_end: bool = False,
    ) -> None:
        self.request = request
        self.random = Random(request.sampling.seed)  # noqa: S311 — a repeatable draw, not a secret
        self.finish_reason = None if limit > 0 else FinishReason.LENGTH
        self.log_probability = 0.0
        self._tokens: list[int] = []
        self._forced = list(reversed(forced))
        self.limit = limit
        #: None if the next id does not depend on it.
        self.history = history
        self._forces_end = forces_end
        self._ends = vocabulary.ends
        self._decode = decode
        #: The most steps that this request may take.
        self.steps = len(self._forced) + limit
        self._tail = max((len(text.encode()) for text in request.stop), default=0) + _TAIL_MARGIN

    @property
    def is_live(self) -> bool:
        return self.finish_reason is None

    @property
    def forced(self) -> int | None:
        """The id that must be written next; ``None`` if the model decides."""
        return self._forced[-1] if self._forced else None

    @property
    def is_given(self) -> bool:
        """Whether the next id is not the model's to decide, or nothing comes next."""
        return bool(self._forced) or not self.is_live

    @property
    def is_scored(self) -> bool:
        """Whether the next token's probability counts for the answer's ``log_probability``."""
        return self.request.is_scored and not self.is_given and not self._is_forced_end

    @property
    def _is_forced_end(self) -> bool:
        """Whether the next token is the end token, whatever the model finds likely."""
        return self._forces_end and len(self._tokens) + 1 == self.limit

    def take(self, token: int) -> bool:
        """Adds the next id. Returns whether the request has finished."""
        if self.history is not None:
            self.history.append(token)
        if self._forced:
            self._forced.pop()
        elif token in self._ends:
            self.finish_reason = FinishReason.STOP
        elif self._is_forced_end:
            self.finish_reason = FinishReason.LENGTH
        else:
            self._tokens.append(token)
            if self._meets_a_stop():
                self.finish_reason = FinishReason.STOP
            elif len(self._tokens) >= self.limit:
                self.finish_reason = FinishReason.LENGTH
        return not self.is_live

    def completion(self) -> Completion:
        """The completion. Call it once the request has finished."""
        assert self.finish_reason is not None  # noqa: S101 — callers ensure it
        score = self.log_probability if self.request.is_scored else None
        return Completion(self.request.id, tuple(self._tokens), self.finish_reason, log_probability=score)

    def _meets_a_stop(self) -> bool:
        if not self.request.stop or self._decode is None:
            return False
        tail = self._decode(self._tokens[-self._tail :])
        return any(stop in tail for stop in self.request.stop)
