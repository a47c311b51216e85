"""CTranslate2 in int8, converted by its own converter. Reads a text in one pass."""

from collections.abc import Sequence
from pathlib import Path

import ctranslate2
import numpy as np
from ctranslate2.converters import TransformersConverter

from benchmarks.fidelity.system import Answers


class CTranslate2Writer:
    def __init__(self, model: Path) -> None:
        converted = model.with_name(f"{model.name}-ctranslate2")
        if not converted.is_dir():
            TransformersConverter(str(model)).convert(str(converted), quantization="int8")
        self.generator = ctranslate2.Generator(
            str(converted), device="cpu", compute_type="int8", inter_threads=1, intra_threads=1
        )

    def answers(self, inputs: Sequence[Sequence[int]]) -> Answers:
        return np.concatenate([
            np.array(self.generator.forward_batch([list(tokens)]), dtype=np.float32)[0] for tokens in inputs
        ])  # fmt: skip
