"""Memory: an engine keeps nothing of its batches, and a batch may be as large as the memory allows."""

import gc
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine import tiny
from tests.engine.conftest import Load, Written
from worker.engine.completions import completions
from worker.engine.transformer.weights import memory

N_BATCHES = 10_000
#: Growth that an allocator's rounding may cause. One kilobyte left behind by each batch would be more.
MOST_GROWTH_BYTES = 8 * 2**20


def resident() -> int:
    """The resident memory of this process, in bytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_ten_thousand_batches_leave_nothing_behind(load: Load) -> None:
    # Only few of the requests write an answer, because writing takes longer than reading.
    kinds = [*["embed-bert", "bert"] * 9, "llama", "marian"]
    requests = tiny.requests(max_new_tokens=1, lengths=tuple(range(5, 36)))

    def run(count: int) -> None:
        for number in range(count):
            request = requests[number % len(requests)]
            assert len(list(completions(load(kinds[number % len(kinds)], "int8"), [request]))) == 1

    run(N_BATCHES // 10)
    before = resident()
    run(N_BATCHES)
    assert resident() - before < MOST_GROWTH_BYTES


#: From the config: layers × bytes per number × numbers in the keys and values of a token, and of a source's token.
TOKEN_BYTES = {
    "llama": lambda config: config.num_hidden_layers * 4 * 2 * config.num_key_value_heads * config.head_dim,
    "gemma3_text": lambda config: config.num_hidden_layers * 4 * 2 * config.num_key_value_heads * config.head_dim,
    "marian": lambda config: config.decoder_layers * 4 * 4 * config.d_model,
    "t5": lambda config: config.num_decoder_layers * 4 * 4 * config.num_heads * config.d_kv,
}


@pytest.mark.parametrize("kind", sorted(TOKEN_BYTES))
@torch.inference_mode()
def test_a_token_takes_its_keys_and_values_in_every_layer(kind: str, load: Load) -> None:
    engine = load(kind, "none")
    stepper = engine.stepper([[5, 6, 7], [5, 6, 7, 8]])
    stepper.start()
    expected: Any = TOKEN_BYTES[kind]
    assert stepper.token_bytes == expected(engine.model.config)


def test_a_batch_has_no_more_tokens_than_the_device_has_memory_for(
    written: Written, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, folder = written("llama")
    token = TOKEN_BYTES["llama"](written("llama")[0].config)
    monkeypatch.setattr(memory, "free_bytes", lambda _: 400 * token)
    assert tiny.load(folder, "none").capabilities().batch_tokens == 100
    assert "batches of 100 tokens instead of" in caplog.text
    monkeypatch.setattr(memory, "free_bytes", lambda _: None)
    assert tiny.load(folder, "none").capabilities().batch_tokens is None


def test_on_the_cpu_a_container_may_have_less_than_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    free = memory.free_bytes(torch.device("cpu"))
    assert free is not None
    assert free > 2**20
    for name, text in (("memory.current", "5000\n"), ("memory.stat", "anon 3000\ninactive_file 1500\n")):
        (tmp_path / name).write_text(text)
    (tmp_path / "memory.max").write_text("9000\n")
    assert memory.free_bytes(torch.device("cpu")) == 5500
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._container_bytes() is None
