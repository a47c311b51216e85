"""Converts requests to bodies of ``/completions``, and its answers to completions. Knows nothing of connections."""

from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer

from lengthwise.errors import Unanswerable
from lengthwise.models import tokenizer
from lengthwise.models.catalog import ModelSpec, ServerOptions
from lengthwise.models.prompts.control_tokens import control_tokens
from worker.engine.protocol import Completion, EngineError, FinishReason, Request
from worker.engine.transformer.decode.vocabulary import Vocabulary

_REASONS = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}


class CompletionsWire:
    """The conversions for one model. Raises ``EngineError``, whose message holds neither text nor ids."""

    def __init__(self, spec: ModelSpec, server: ServerOptions) -> None:
        self._server = server
        self._tokenizer = tokenizer.load(spec)
        self._ends = Vocabulary.read(spec.folder, spec.config).ends
        self._texts = PromptTexts(spec) if server.prompt == "text" else None

    def body(self, request: Request, prompt: Sequence[int], max_tokens: int) -> dict[str, Any]:
        """Returns the JSON of one request. ``prompt`` holds all ids that the model reads."""
        body: dict[str, Any] = {
            "model": self._server.model,
            "prompt": list(prompt) if self._texts is None else self._texts.decode(prompt),
            "max_tokens": max_tokens,
            "temperature": request.sampling.temperature,
        }
        if request.sampling.temperature:
            body |= {"top_p": request.sampling.top_p, "seed": request.sampling.seed}
            if request.sampling.top_k:  # an extension of OpenAI's format: some servers refuse it
                body["top_k"] = request.sampling.top_k
        if request.sampling.repetition_penalty is not None:  # an extension, too; the server knows the model's own
            body["repetition_penalty"] = request.sampling.repetition_penalty
        if request.stop:
            body["stop"] = list(request.stop)
        if self._server.returns_token_ids:
            body["return_token_ids"] = True
        return body

    def completion(self, request: Request, answer: Any) -> Completion:
        """Converts the JSON of a 200. Uses the server's token ids if it returns them, and else tokenizes its text."""
        try:
            choice = answer["choices"][0]
            text, reason, ids = choice["text"], choice["finish_reason"], choice.get("token_ids")
        except (LookupError, TypeError, AttributeError):
            raise EngineError("the server's answer is no completion") from None
        if not isinstance(text, str) or not isinstance(reason, str) or reason not in _REASONS:
            raise EngineError("the server's answer has no text, or an unknown finish_reason")
        if self._server.returns_token_ids and ids is None:
            raise EngineError("the server's answer has no token_ids: set returns_token_ids = false")
        kept = min((text.find(stop) for stop in request.stop if stop in text), default=len(text))
        if kept < len(text):  # some servers ignore stop strings
            return Completion(request.id, self._ids(text[:kept]), FinishReason.STOP)
        return Completion(request.id, self._ids(text) if ids is None else self._without_end(ids), _REASONS[reason])

    def _ids(self, text: str) -> tuple[int, ...]:
        try:
            return tuple(self._tokenizer.encode_answer(text))
        except Unanswerable:
            raise EngineError("the model's tokenizer fails on the server's answer") from None

    def _without_end(self, ids: Any) -> tuple[int, ...]:
        if not isinstance(ids, list) or not all(type(token) is int for token in ids):
            raise EngineError("the server's token_ids are no ids")
        return tuple(ids[:-1] if ids and ids[-1] in self._ends else ids)


class PromptTexts:
    """Converts prompts to text, for servers that take no ids. Their tokenizer must give the same ids as ours."""

    def __init__(self, spec: ModelSpec) -> None:
        self._tokenizer: Any = Tokenizer.from_file(str(spec.folder / "tokenizer.json"))
        self._controls = control_tokens(self._tokenizer)
        self._frame = self._tokenizer.encode("").ids

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the prompt's text. Raises ``EngineError`` if the server would read a part of it as control tokens."""
        # The server adds the frame itself.
        n_frame = len(self._frame)
        own = ids[n_frame:] if n_frame and list(ids[:n_frame]) == self._frame else ids
        text: str = self._tokenizer.decode(list(own), skip_special_tokens=False)
        if self._controls_in(self._tokenizer.encode(text, add_special_tokens=False).ids) != self._controls_in(own):
            raise EngineError("a prompt holds the text of a control token, which the server would obey")
        return text

    def _controls_in(self, ids: Sequence[int]) -> list[int]:
        return [token for token in ids if token in self._controls]
