"""transformers in fp32: the original, with which every system is compared. Reads a text in one pass."""

# mypy: allow-untyped-calls
# transformers ships few annotations.

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.fidelity.system import Answers, pooled

hub: Any = transformers


class ReferenceWriter:
    def __init__(self, model: Path) -> None:
        torch.set_num_threads(1)
        self.model = hub.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()

    @torch.inference_mode()
    def answers(self, inputs: Sequence[Sequence[int]]) -> Answers:
        return np.concatenate(
            [self.model(torch.tensor([tokens]), use_cache=False).logits[0].numpy() for tokens in inputs]
        )


class ReferenceEmbedder:
    def __init__(self, model: Path) -> None:
        torch.set_num_threads(1)
        self.model = hub.BertModel.from_pretrained(model, dtype=torch.float32, add_pooling_layer=False).eval()

    @torch.inference_mode()
    def answers(self, inputs: Sequence[Sequence[int]]) -> Answers:
        return np.stack([pooled(self.model(torch.tensor([tokens])).last_hidden_state[0]) for tokens in inputs])
