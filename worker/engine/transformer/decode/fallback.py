"""Runs architectures that our steppers do not support by transformers' ``generate``, on a padded batch.

This is slower, and the last bits of an answer may depend on its batch. Limits, stop strings, prefixes and sampling work
as in our own decoding loop.
"""

# mypy: allow-untyped-calls
# transformers ships few annotations.

from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from worker.engine.protocol import Completion
from worker.engine.transformer.decode.sampling import choose
from worker.engine.transformer.decode.sequence import RunningSequence
from worker.engine.transformer.decode.vocabulary import Vocabulary

#: Families that read padding as if it were text, so that each prompt has to run by itself.
_ALONE = frozenset({"minimax", "rwkv"})


def generate(
    model: Any, inputs: Sequence[Sequence[int]], rows: Sequence[RunningSequence], vocabulary: Vocabulary
) -> list[Completion]:
    """Runs the batch to its end. Returns the completions in the order in which they finished."""
    finished: list[RunningSequence] = []
    size = 1 if model.config.model_type in _ALONE else len(rows)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        rules = _Rules(part, vocabulary, finished)
        _run(model, inputs[start : start + size], rules, max(row.steps for row in part))
    return [row.completion() for row in finished]


class _Rules:
    """The two hooks for transformers: ``pick`` chooses each row's token, ``ended`` says which rows have finished."""

    def __init__(
        self, rows: Sequence[RunningSequence], vocabulary: Vocabulary, finished: list[RunningSequence]
    ) -> None:
        self.rows, self.vocabulary, self.finished = rows, vocabulary, finished

    def pick(self, _: torch.Tensor, scores: torch.Tensor, **__: Any) -> torch.Tensor:
        chosen = choose(scores, self.rows, self.vocabulary)
        pairs = zip(self.rows, chosen, strict=True)
        self.finished += [row for row, token in pairs if row.is_live and row.take(token)]
        forced = torch.full_like(scores, -torch.inf)
        return forced.scatter_(1, torch.tensor(chosen, device=scores.device)[:, None], 0)

    def ended(self, ids: torch.Tensor, _: torch.Tensor, **__: Any) -> torch.Tensor:
        return torch.tensor([not row.is_live for row in self.rows], device=ids.device)


@torch.inference_mode()
def _run(model: Any, inputs: Sequence[Sequence[int]], rules: _Rules, steps: int) -> None:
    width, vocabulary = max(len(tokens) for tokens in inputs), rules.vocabulary
    padding = [[0] * (width - len(tokens)) for tokens in inputs]
    pads_right = model.config.is_encoder_decoder
    pairs = list(zip(inputs, padding, strict=True))
    pad = [[vocabulary.pad] * len(gap) for gap in padding]
    ids = [[*tokens, *gap] if pads_right else [*gap, *tokens] for tokens, gap in zip(inputs, pad, strict=True)]
    mask = [[1] * len(tokens) + gap if pads_right else gap + [1] * len(tokens) for tokens, gap in pairs]
    model.generate(
        torch.tensor(ids, device=model.device),
        attention_mask=torch.tensor(mask, device=model.device),
        generation_config=GenerationConfig(
            max_new_tokens=steps,
            do_sample=False,
            num_beams=1,
            # ``choose`` applies these. transformers would take the model's own for those that are not named here.
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            min_length=0,
            pad_token_id=vocabulary.pad,
            decoder_start_token_id=vocabulary.start if pads_right else None,
        ),
        logits_processor=LogitsProcessorList([rules.pick]),
        stopping_criteria=StoppingCriteriaList([rules.ended]),
    )
