"""OpenVINO GenAI at its best: continuous batching, int8 weights, and its prefix cache for shared prefixes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino
import openvino_genai

from benchmarks.engine.workload import PAD, Workload, WorkloadItem

_CACHE_GIB = 4


def _convert(model: Path, target: Path) -> None:
    from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig

    quantized = OVModelForCausalLM.from_pretrained(
        model, export=True, quantization_config=OVWeightQuantizationConfig(bits=8), compile=False
    )
    quantized.save_pretrained(target)


class OpenVinoPeer:
    def __init__(self, model: Path, workload: Workload) -> None:
        converted = model.with_name(f"{model.name}-openvino")
        if not converted.is_dir():
            _convert(model, converted)
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.cache_size = _CACHE_GIB
        scheduler.enable_prefix_caching = workload.n_prefix > 0
        self.pipeline = openvino_genai.ContinuousBatchingPipeline(
            converted, scheduler, "CPU", {"INFERENCE_NUM_THREADS": 1}
        )

    def run(self, items: Sequence[WorkloadItem]) -> list[int]:
        inputs = [openvino.Tensor(np.array([item.tokens], dtype=np.int64)) for item in items]
        wanted = [
            openvino_genai.GenerationConfig(
                max_new_tokens=item.n_output, do_sample=False, eos_token_id=PAD, ignore_eos=True
            )
            for item in items
        ]
        return [len(answer.m_generation_ids[0]) for answer in self.pipeline.generate(inputs, wanted)]
