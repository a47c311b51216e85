"""Tests the calls of a GPU's flash kernel on a CPU, by a stand-in that follows the kernel's contract row by row."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch

from tests.engine import tiny
from tests.engine.conftest import Load
from tests.engine.decode.test_open import run_open
from worker.engine.completions import completions
from worker.engine.transformer.attention import flash_backend, kv_cross, kv_past, kv_slots, native_backend
from worker.engine.transformer.attention.graph import CaptureContext, CapturedStep, NotCapturableError
from worker.engine.transformer.attention.interface import AttentionCall
from worker.engine.transformer.engine import TorchEngine
from worker.engine.transformer.layers.norm import TorchRmsNorm, fuse_norms


def kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cum_seq_q: torch.Tensor,
    cum_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
    dropout_p: float,
    is_causal: bool,
    return_debug_mask: bool,
    *,
    scale: float,
    window_size_left: int | None,
    window_size_right: int | None,
    seqused_k: torch.Tensor,
) -> tuple[torch.Tensor]:
    """``query[cum_seq_q[n]:cum_seq_q[n + 1]]``, the last tokens of sequence n, sees ``seqused_k[n]`` keys."""
    assert {part.dtype for part in (cum_seq_q, cum_seq_k, seqused_k)} == {torch.int32}
    assert len(cum_seq_q) == len(cum_seq_k) == len(seqused_k) + 1
    assert int(seqused_k.max()) <= max_k
    assert int(cum_seq_q.diff().max()) <= max_q
    assert (dropout_p, return_debug_mask, window_size_right) == (0, False, None if window_size_left is None else 0)
    assert key.shape[1] == value.shape[1]
    out = torch.full_like(query, torch.nan)
    for asked, end, begin, count in zip(cum_seq_q, cum_seq_q[1:], cum_seq_k, seqused_k, strict=False):
        own = query[asked:end].transpose(0, 1)
        keys, values = (part[begin : begin + count].transpose(0, 1)[None] for part in (key, value))
        places, last = torch.arange(count), torch.arange(end - asked)[:, None] + count - (end - asked)
        mask = (places <= last) if is_causal else (places >= 0).expand(len(last), -1)
        if window_size_left is not None:
            mask = mask & (places >= last - window_size_left)
        found = torch.nn.functional.scaled_dot_product_attention(
            own[None], keys, values, attn_mask=mask, scale=scale, enable_gqa=True
        )
        out[asked:end] = found[0].transpose(0, 1)
    return (out,)


@pytest.fixture
def on_flash(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[AttentionCall]]:
    """Makes attention run as on a GPU, in fp32; gives the list of its calls."""
    asked: list[AttentionCall] = []

    def serves(call: AttentionCall) -> bool:
        asked.append(call)
        return call.bias is None and call.softcap is None

    monkeypatch.setattr(native_backend, "serves", lambda _: False)
    monkeypatch.setattr(kv_slots, "serves", lambda _: False)
    for module in (kv_slots, kv_past, kv_cross):
        monkeypatch.setattr(module, "can_store_kv", lambda *_: False)
    monkeypatch.setattr(flash_backend, "serves", serves)
    monkeypatch.setattr(flash_backend, "_kernel", lambda: kernel)
    yield asked
    assert asked


@pytest.mark.parametrize("kind", [*tiny.GENERATIVE, *tiny.CLASSIFIERS])
def test_flash_attention_gives_the_answers_of_our_own_attention(
    kind: str, load: Load, on_flash: list[AttentionCall]
) -> None:
    engine = load(kind, "none")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flash_backend, "serves", lambda _: False)
        expected = _answers(engine)
    found = _answers(engine)
    assert found.keys() == expected.keys()
    for one, other in zip(found.values(), expected.values(), strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert len(set(expected.values())) > 1


def _answers(engine: TorchEngine) -> dict[int, Sequence[float]]:
    answers = {it.id: it.tokens or it.scores for it in completions(engine, tiny.requests(9))}
    return dict(sorted(answers.items()))


class ReplayedGraph:
    """A stand-in for a CUDA graph: computes the captured step again."""

    def __init__(self, step: CapturedStep) -> None:
        self.step = step

    def replay(self) -> None:
        it = self.step
        it._lengths += 1
        it._scores = it._write(it._tokens, it._lengths)


@pytest.fixture
def on_graphs(on_flash: list[AttentionCall], monkeypatch: pytest.MonkeyPatch) -> Iterator[list[CapturedStep]]:
    """Makes steps run as on a GPU with CUDA graphs; gives the list of captured steps."""
    made: list[CapturedStep] = []

    def capture_graph(step: CapturedStep) -> None:
        made.append(step)
        step._graph = ReplayedGraph(step)  # type: ignore[assignment]

    monkeypatch.setattr(CaptureContext, "warm", lambda _, launch: launch())
    monkeypatch.setattr(CapturedStep, "_capture_graph", capture_graph)
    yield made


@pytest.mark.parametrize("kind", sorted(tiny.DECODERS.keys() - tiny.NOT_CAPTURED))
def test_a_batch_is_captured_again_after_rows_join(
    kind: str, load: Load, on_graphs: list[CapturedStep], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, asked = load(kind, "none"), tiny.requests(40)
    expected = {completion.id: completion.tokens for completion in completions(engine, asked)}
    monkeypatch.setattr(engine, "_capture", CaptureContext())
    found = run_open(engine, [asked[:3], asked[3:4], asked[4:]], every=9)
    assert {number: completion.tokens for number, completion in found.items()} == expected
    assert len(on_graphs) >= 3


@pytest.mark.parametrize("kind", sorted(tiny.GENERATIVE.keys() - tiny.NOT_CAPTURED))
@torch.inference_mode()
def test_replayed_graphs_give_the_scores_of_launched_steps(
    kind: str, load: Load, on_graphs: list[CapturedStep]
) -> None:
    """On the way rows outgrow their memory, and some leave the batch."""
    engine = load(kind, "none")
    inputs = [
        [5 + row, *(9 + (row + 3 * place) % 90 for place in range(length))] for row, length in enumerate([1, 3, 40, 62])
    ]
    ours = engine.stepper(inputs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_capture", CaptureContext())
        theirs = engine.stepper(inputs)
    torch.testing.assert_close(theirs.start(), ours.start())
    rows = 4
    for step in range(80 if kind in tiny.ENCODER_DECODERS else 150):
        if step in (3, 70):
            kept = [0, 2, 3] if step == 3 else [1, 2]
            ours.keep(kept)
            theirs.keep(kept)
            rows = len(kept)
        tokens = torch.arange(rows) + step % 40 + 5
        torch.testing.assert_close(theirs.step(tokens), ours.step(tokens), rtol=1e-3, atol=1e-3)
    assert len(on_graphs) >= 3


@pytest.mark.parametrize("kind", tiny.NOT_CAPTURED)
@torch.inference_mode()
def test_what_flash_attention_does_not_support_cannot_be_captured(
    kind: str, load: Load, on_graphs: list[CapturedStep]
) -> None:
    engine = load(kind, "none")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_capture", CaptureContext())
        stepper = engine.stepper([[5, 6], [7, 8]])
    stepper.start()
    stepper.step(torch.tensor([9, 10]))
    with pytest.raises(NotCapturableError):
        stepper.step(torch.tensor([9, 10]))


@pytest.mark.parametrize("kind", ["llama", "gemma"])
@torch.inference_mode()
def test_norms_become_torchs_own_and_give_the_same(kind: str, written: Any) -> None:
    model = written(kind)[0]
    ids = torch.tensor([[5, 6, 7]])
    expected = model(ids).logits
    fused = type(model)(model.config)
    fused.load_state_dict(model.state_dict())
    fused.eval()
    fuse_norms(fused, TorchRmsNorm)
    assert sum(isinstance(it, TorchRmsNorm) for it in fused.modules()) == 5
    torch.testing.assert_close(fused(ids).logits, expected, rtol=1e-4, atol=1e-4)
