"""Guards that write their verdict as text."""

from typing import Any

import torch

from tests.published.families import gemma, llama, qwen
from tests.published.forms import card, weights
from tests.published.published import WRITES, Published

_BFLOAT: Any = {"dtype": torch.bfloat16}

REPOSITORIES = (
    Published(
        "meta-llama/Llama-Guard-3-1B", llama.LICENCE, WRITES,
        (llama.TOKENIZER, card.template_field("llama-guard-3"),
         card.generation(bos_token_id=llama.CONFIG["bos_token_id"], eos_token_id=llama.CONFIG["eos_token_id"]),
         weights.write(llama.CONFIG, **_BFLOAT)),
        is_gated=True,
    ),
    Published(
        "google/shieldgemma-2b", "gemma", WRITES,
        (gemma.GEMMA, card.template_field("shieldgemma"),
         card.generation(bos_token_id=2, eos_token_id=1, pad_token_id=0),
         weights.write(gemma.GEMMA2_CONFIG | {"eos_token_id": 1}, weights.sharded, **gemma.OF_GEMMA)),
        is_gated=True,
    ),
    Published(
        "Qwen/Qwen3Guard-Gen-0.6B", "apache-2.0", WRITES,
        (qwen.QWEN3, card.template_field("qwen3guard"), weights.write(qwen.QWEN3_CONFIG, **qwen.OF_QWEN3)),
    ),
)  # fmt: skip
