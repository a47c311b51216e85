"""One forward pass over a padded batch, for models that read but do not write: classifiers and embedders.

Knows nothing of labels or vectors; ``classifier`` and ``embedder`` make those from the output.
"""

from collections.abc import Sequence
from typing import Any

import torch

from worker.engine.transformer.attention.plans import PaddedPlan


def read(model: Any, sequences: Sequence[Sequence[int]], pad: int, fits: bool) -> Any:
    """The model's output for ``sequences`` of ids, which are sorted by length and padded with ``pad``.

    ``fits``: whether the model runs on our attention by a plan; otherwise it gets a plain mask.
    """
    lengths = [len(tokens) for tokens in sequences]
    width = max(lengths)
    ids = [[*tokens, *[pad] * (width - len(tokens))] for tokens in sequences]
    tokens = torch.tensor(ids, device=model.device)
    if fits:
        plan = PaddedPlan(lengths)
        return model(input_ids=tokens, attention_mask=plan.marker, plans=(plan,))
    seen = torch.arange(width)[None] < torch.tensor(lengths)[:, None]
    return model(input_ids=tokens, attention_mask=seen.long().to(model.device))
