"""Shows the results: tables for people, the bounds of our int8, and figures for the JSON object."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.fidelity.compare import INT8, OPENVINO, VectorFidelity
from benchmarks.fidelity.corpus import LONG
from benchmarks.fidelity.measure import TokenFidelity

#: What our int8 may cost, on a processor with VNNI. ``tests/real`` holds the same bounds.
MOST_KL, MOST_PERPLEXITY, MOST_FLIPS = 0.009, 0.007, 3
LEAST_COSINE, LEAST_OF_SHORT, LEAST_OF_NUMBERS = 0.9995, 0.9985, 0.999


class Bound(NamedTuple):
    what: str
    found: float
    limit: float
    is_most: bool = True

    @property
    def holds(self) -> bool:
        return self.found <= self.limit if self.is_most else self.found >= self.limit


def writers(console: Console, found: Mapping[str, TokenFidelity], model: str) -> None:
    tokens = next((each.tokens for each in found.values()), 0)
    console.print(f"{model}: {tokens} tokens of English prose, teacher-forced, against transformers in fp32")
    table = Table("system")
    for column in ("KL, nats", "same greatest token", "perplexity", "to fp32"):
        table.add_column(column, justify="right")
    for name, each in found.items():
        table.add_row(
            name, f"{each.kl:z.5f}", f"{each.same_argmax:.1%}", f"{each.perplexity:.2f}",
            f"{each.relative_perplexity:+.2%}",
        )  # fmt: skip
    console.print(table)


def embedders(console: Console, found: Mapping[str, VectorFidelity], model: str, counts: Sequence[int]) -> None:
    """``counts``: the long and the short sentences, the numbers, and the classified texts."""
    n_long, n_short, n_numbers, n_classified = counts
    console.print(
        f"{model}: vectors of {n_long} sentences of {LONG} tokens or more, of {n_short} shorter ones and "
        f"of {n_numbers} single numbers,\nagainst transformers in fp32. "
        "No real classifier comes as a package: this one is logistic regression\non the vectors in fp32 of tweets "
        "with their sentiment, and flags negative ones. "
        f"Flips: of {n_classified} other tweets, those whose flag changes"
    )
    table = Table("system")
    for column in ("least cosine", "of shorter ones", "of numbers", "flips"):
        table.add_column(column, justify="right")
    for name, each in found.items():
        table.add_row(name, *(f"{least:.6f}" for least in each[:3]), str(each.flips))
    console.print(table)


def bounds(written: Mapping[str, TokenFidelity], embedded: Mapping[str, VectorFidelity]) -> list[Bound]:
    """The bounds of our int8, as far as it was measured."""
    found = []
    if (tokens := written.get(INT8)) is not None:
        found += [
            Bound("KL", tokens.kl, MOST_KL),
            Bound("perplexity, relative to fp32", tokens.relative_perplexity, MOST_PERPLEXITY),
        ]
        if (peer := written.get(OPENVINO)) is not None:
            found.append(Bound("KL, beside OpenVINO's", tokens.kl, peer.kl))
    if (vectors := embedded.get(INT8)) is not None:
        found += [
            Bound("least cosine of sentences", vectors.least_cosine, LEAST_COSINE, is_most=False),
            Bound("least cosine of shorter ones", vectors.least_of_short, LEAST_OF_SHORT, is_most=False),
            Bound("least cosine of single numbers", vectors.least_of_numbers, LEAST_OF_NUMBERS, is_most=False),
            Bound("flips", vectors.flips, MOST_FLIPS),
        ]
    return found


def judged(console: Console, found: list[Bound], has_vnni: bool) -> bool:
    """Shows the bounds beside the figures. Returns whether all hold, or none applies to this processor."""
    console.print(f"The bounds of {INT8}")
    table = Table("figure")
    for column in ("found", "bound", ""):
        table.add_column(column, justify="right")
    for each in found:
        word = "holds" if each.holds else "BROKEN"
        table.add_row(each.what, f"{each.found:.6g}", f"{'≤' if each.is_most else '≥'} {each.limit:.6g}", word)
    console.print(table)
    if not has_vnni:
        console.print("This processor has no VNNI: inputs have 7 bits, and the bounds are not for that.")
    return not has_vnni or all(each.holds for each in found)


def figures(written: Mapping[str, TokenFidelity], embedded: Mapping[str, VectorFidelity]) -> dict[str, Any]:
    """The figures of the last line; None for what was not measured."""
    ours, peer, vectors = written.get(INT8), written.get(OPENVINO), embedded.get(INT8)
    return {
        "kl_int8": None if ours is None else round(ours.kl, 6),
        "kl_openvino": None if peer is None else round(peer.kl, 6),
        "ppl_rel": None if ours is None else round(ours.relative_perplexity, 6),
        "same_argmax": None if ours is None else round(ours.same_argmax, 5),
        "embed_cos_min": None if vectors is None else round(vectors.least_cosine, 7),
        "embed_cos_min_short": None if vectors is None else round(vectors.least_of_short, 7),
        "embed_cos_min_numbers": None if vectors is None else round(vectors.least_of_numbers, 7),
        "classifier_flips": None if vectors is None else vectors.flips,
    }
