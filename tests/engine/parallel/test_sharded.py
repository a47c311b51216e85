"""Tensor parallelism over two processes gives the whole model's answers, and no process continues alone."""

import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog import ModelSpec
from tests.engine import tiny
from tests.engine.conftest import Load, Written
from worker.engine.completions import completions
from worker.engine.protocol import Completion, EngineError, EngineUnavailable, Request
from worker.engine.transformer.engine import TorchEngine
from worker.engine.transformer.parallel import ranks, sharded
from worker.engine.transformer.parallel.sharded import ShardedEngine

DEVICES = ("cpu", "cpu")


@pytest.fixture(scope="module", autouse=True)
def _followers() -> Iterator[None]:
    yield
    if ranks._ranks is not None:
        ranks._ranks.close()


def spec(folder: Path, quantization: str = "none") -> ModelSpec:
    return ModelSpec.from_table(
        "split", {"path": folder, "device": "cpu+cpu", "quantization": quantization, "generate": {}}
    )


@pytest.fixture
def engine(written: Written) -> ShardedEngine:
    return ShardedEngine.load(spec(written("llama")[1]))


def requests() -> list[Request]:
    return tiny.requests(max_new_tokens=20)


def tokens(completions: Iterable[Completion]) -> dict[int, tuple[int, ...]]:
    return {completion.id: completion.tokens for completion in completions}


@pytest.mark.parametrize("kind", sorted(tiny.DECODERS))
def test_it_writes_what_the_whole_model_writes(kind: str, written: Written, load: Load) -> None:
    engine = sharded.Torch.load(spec(written(kind)[1]))
    assert isinstance(engine, ShardedEngine)
    assert engine.capabilities().device == "cpu+cpu"
    assert tokens(completions(engine, requests())) == tokens(completions(load(kind, "none"), requests()))


def test_each_process_holds_its_part_alone(engine: ShardedEngine, load: Load) -> None:
    config = load("llama", "none").model.config
    part = engine._engine.model.model.layers[0].self_attn.k_proj.weight.to_local()
    assert 2 * len(part) == config.num_key_value_heads * config.head_dim


def test_others_join_its_batch_and_run_between_two_of_its_steps(engine: ShardedEngine, load: Load) -> None:
    expected, between = tokens(completions(load("llama", "none"), requests())), {}
    batch, found = engine.start(), list[Completion]()
    for portion in (requests()[:2], [], None, requests()[2:]):
        if portion is None:
            between.update(tokens(completions(engine, requests())))
        else:
            batch.add(portion)
        found += batch.step()
    while not batch.is_done:
        found += batch.step()
    batch.close()
    assert tokens(found) == expected
    assert between == expected


def test_a_refused_request_leaves_all_processes_in_step(engine: ShardedEngine) -> None:
    with pytest.raises(EngineError, match="empty or longer"):
        list(completions(engine, [Request(0, [], 4)]))
    assert len(list(completions(engine, requests()))) == len(requests())
    assert engine._ranks.is_alive


@pytest.mark.parametrize("is_closed", [False, True])
def test_an_abandoned_batch_leaves_all_processes_in_step(engine: ShardedEngine, is_closed: bool) -> None:
    batch = engine.start()
    batch.add(requests()[:3])
    while not batch.step():
        batch.add(())
    batch.add(requests()[3:])
    assert not batch.is_done
    if is_closed:
        batch.close()
    del batch
    expected_ranks = engine._ranks
    assert len(list(completions(engine, requests()))) == len(requests())
    assert engine._ranks is expected_ranks
    assert engine._ranks.is_alive


def test_a_part_that_dies_is_no_fault_of_the_batch_and_is_loaded_anew(engine: ShardedEngine) -> None:
    pid = engine._ranks._children[0].pid
    assert pid
    first, *others = requests()
    running = completions(
        engine, [first._replace(max_new_tokens=1), *(each._replace(max_new_tokens=150) for each in others)]
    )
    assert next(running).id == first.id
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EngineUnavailable):
        list(running)
    assert len(list(completions(engine, requests()))) == len(requests())


def test_a_model_that_is_no_more_used_is_dropped_everywhere(engine: ShardedEngine, written: Written) -> None:
    other = ShardedEngine.load(spec(written("qwen3")[1]))
    del other
    assert len(list(completions(engine, requests()))) == len(requests())


def test_heads_that_the_devices_do_not_divide_are_refused(written: Written) -> None:
    three = spec(written("llama")[1]).model_copy(update={"device": "cpu+cpu+cpu"})
    with pytest.raises(ConfigurationError, match="num_attention_heads cannot be shared by 3 devices"):
        sharded.Torch.load(three)


def test_a_process_shares_its_models_over_the_same_devices(engine: ShardedEngine) -> None:
    with pytest.raises(ConfigurationError, match=r"over cpu\+cpu already"):
        ranks.rank_group(("cpu", "cpu", "cpu"))
    assert len(list(completions(engine, requests()))) == len(requests())


def test_weights_that_do_not_fit_are_refused_in_every_part(llama: Path) -> None:
    (llama / "manifest.json").unlink(missing_ok=True)
    config = llama / "config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
    with pytest.raises(EngineError, match="do not fit"):
        sharded.Torch.load(spec(llama))


def test_int8_becomes_fp32_and_other_architectures_stay_on_the_first_device(written: Written) -> None:
    split = sharded.Torch.load(spec(written("llama")[1], "int8"))
    assert split.capabilities().quantization == "none"
    whole = sharded.Torch.load(spec(written("marian")[1], "int8"))
    assert isinstance(whole, TorchEngine)
    assert whole.capabilities().device == "cpu"
