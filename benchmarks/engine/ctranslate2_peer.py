"""CTranslate2 in int8 at its best. Items are sorted and batched by tokens; a callback ends each item at its length."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ctranslate2
from ctranslate2.converters.transformers import MarianMTLoader

from benchmarks.engine.workload import PAD, Workload, WorkloadItem


def _convert(model: Path, target: Path) -> None:
    import transformers

    kind: Any = transformers.MarianMTModel
    spec = MarianMTLoader().get_model_spec(kind.from_pretrained(model))
    words = [f"w{number}" for number in range(PAD)]  # the loader drops the last entry, as in Marian's own models
    spec.register_source_vocabulary(words)
    spec.register_target_vocabulary(words)
    # No ordinary word may be the end token: only the callback ends an answer.
    spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = "w1"
    spec.config.decoder_start_token = "w0"
    spec.config.add_source_eos = False
    spec.validate()
    spec.optimize(quantization="int8")
    target.mkdir()
    spec.save(str(target))


class CTranslate2Peer:
    def __init__(self, model: Path, workload: Workload) -> None:
        converted = model.with_name(f"{model.name}-ctranslate2")
        if not converted.is_dir():
            _convert(model, converted)
        self.translator = ctranslate2.Translator(
            str(converted), device="cpu", compute_type="int8", inter_threads=1, intra_threads=1
        )

    def run(self, items: Sequence[WorkloadItem]) -> list[int]:
        order = sorted(range(len(items)), key=lambda index: items[index].n_output)
        wanted = [items[index].n_output for index in order]
        longest = wanted[-1]
        answers = self.translator.translate_batch(
            [[f"w{token}" for token in items[index].tokens] for index in order],
            beam_size=1,
            max_batch_size=4096,
            batch_type="tokens",
            min_decoding_length=longest,
            max_decoding_length=longest,
            callback=lambda step: step.step + 1 >= wanted[step.batch_id],
        )
        written = [0] * len(items)
        for index, answer in zip(order, answers, strict=True):
            written[index] = len(answer.hypotheses[0])
        return written
