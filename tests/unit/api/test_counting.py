"""Tokens are counted for many items at once, and an item that cannot be read does no harm to the others."""

from pathlib import Path

import pytest
from pydantic_core import from_json, to_json

from api.intake.counting import CheckedItem, ItemTarget, Portion, counted
from lengthwise.errors import InvalidInput
from lengthwise.kinds import KINDS
from lengthwise.ledger.jobs.arrangement import NewItem
from lengthwise.models import tokenizer
from lengthwise.models.catalog import Catalog, ModelSpec
from tests.fakes import write_catalog
from tests.panics import panic_on


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    folder: Path = tmp_path_factory.mktemp("models")
    return Catalog.read(write_catalog(folder)).models["echo"]


def items(spec: ModelSpec, *texts: str) -> list[NewItem]:
    kind = KINDS["generate"]
    checked = [CheckedItem(kind.item_type.model_validate({"text": text}), to_json({"text": text})) for text in texts]
    target = ItemTarget(kind, spec, kind.params_type())

    def refuse(place: int, error: InvalidInput) -> None:
        raise AssertionError(place, error)

    parts = counted(Portion(target, checked, range(len(texts))), refuse)
    return [item for part in parts for item in part.items]


def test_an_item_that_is_too_long_is_told_the_limit(spec: ModelSpec) -> None:
    fits, too_long = items(spec, "a", "a" * 600)
    assert fits.refusal is None
    assert f"at most {spec.context} tokens" in from_json(too_long.refusal or b"")["error"]["message"]


def test_a_text_on_which_the_tokenizer_panics_is_refused_and_the_others_are_counted(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = items(spec, "one", "two", "three")
    panic_on(monkeypatch, tokenizer.load_counting(spec), "CaNaRy")
    found = items(spec, "one", "a CaNaRy", "two", "three", "CaNaRy")
    refusals = [item.refusal for item in found]
    assert [refusal is None for refusal in refusals] == [True, False, True, True, False]
    for refusal in filter(None, refusals):
        assert from_json(refusal)["error"]["code"] == "untokenizable"
        assert b"canary" not in refusal.lower()
    assert [item.lengths for item in (found[0], found[2], found[3])] == [item.lengths for item in before]
