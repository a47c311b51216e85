"""docs/published-models.md agrees with the fixture, and a run writes or compares it as a whole."""

from pathlib import Path

import pytest

from tests.published.pages import page
from tests.published.pages.page import PageOfRun, PageRow
from tests.published.repositories import PUBLISHED

SERVED = PageRow(
    "example/a", "chat", "LlamaForCausalLM", "safetensors", "tokenizer.json", "chat, generate", "yes",
    page.AS_TRANSFORMERS,
)  # fmt: skip
REFUSED = PageRow("example/b", "", "", "pickled", "", "", "", "pytorch_model.bin holds code | and more")


@pytest.fixture(scope="module")
def rows() -> dict[str, PageRow]:
    return {row.repository: row for row in page.read(page.PAGE.read_text("utf-8"))}


def test_the_page_lists_exactly_the_repositories_of_the_fixture(rows: dict[str, PageRow]) -> None:
    assert rows.keys() == PUBLISHED.keys()
    assert page.render(rows.values()) == page.PAGE.read_text("utf-8"), f"{page.COMMAND} writes it anew"


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_page_says_of_a_repository_what_is_expected_of_it(name: str, rows: dict[str, PageRow]) -> None:
    row, wanted = rows[name], PUBLISHED[name]
    kinds = set(filter(None, row.kinds.split(", ")))
    if not wanted.kinds:
        assert (row.should_serve, kinds, row.int8) == ("", set(), "")
        assert wanted.refused_for.lower() in row.answers.lower()
    else:
        assert kinds == set(wanted.kinds)
        assert row.answers == page.AS_TRANSFORMERS
        assert row.int8 in ("yes", "no")


def told(row: PageRow) -> dict[str, str]:
    return row._asdict() | {"n_repositories": "2"}


def of_run(path: Path, *rows: PageRow) -> PageOfRun:
    made = PageOfRun(path)
    for row in rows:
        made.note(told(row), 2)
    return made


def test_a_complete_run_writes_the_page_which_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    assert of_run(path, SERVED, REFUSED).end(is_right=True, writes=True) is None
    assert page.read(path.read_text("utf-8")) == [SERVED, REFUSED]
    assert of_run(path, REFUSED, SERVED).end(is_right=True, writes=False) is None


def test_a_complete_run_that_found_something_else_says_what_writes_the_page_anew(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    of_run(path, SERVED, REFUSED).end(is_right=True, writes=True)
    before = path.read_text("utf-8")
    wrong = of_run(path, SERVED._replace(int8="no"), REFUSED).end(is_right=True, writes=False)
    assert wrong is not None and page.COMMAND in wrong
    assert path.read_text("utf-8") == before


@pytest.mark.parametrize(("rows", "is_right"), [((SERVED,), True), ((SERVED, REFUSED), False), ((), True)])
def test_a_run_that_is_not_complete_writes_nothing(tmp_path: Path, rows: tuple[PageRow, ...], is_right: bool) -> None:
    path = tmp_path / "page.md"
    assert of_run(path, *rows).end(is_right=is_right, writes=False) is None
    assert of_run(path, *rows).end(is_right=is_right, writes=True) is not None
    assert not path.exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/place/a/home/hub/models--x/snapshots/12/pytorch_model.bin holds code", "pytorch_model.bin holds code"),
        ("/place/lengthwise-ab12cd_z/config.json: is empty", "config.json: is empty"),
        ("/place/lengthwise-ab12cd_z has no weights", "the model's folder has no weights"),
        ("it has no weights: neither a/b nor c", "it has no weights: neither a/b nor c"),
    ],
)
def test_an_error_is_shown_without_the_paths_of_the_machine(line: str, said: str) -> None:
    assert page.gist(line, (Path("/place/a"), Path("/place"))) == said


@pytest.mark.parametrize(
    ("files", "weights", "tokenizer"),
    [
        (("model.safetensors", "pytorch_model.bin", "tokenizer.json", "vocab.txt"),
         "safetensors and pickled", "tokenizer.json"),
        (("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "spiece.model"),
         "safetensors in 2 files", "spiece.model"),
        (("pytorch_model.bin", "source.spm", "target.spm", "vocab.json"),
         "pickled", "source.spm, target.spm, vocab.json"),
        (("adapter_config.json", "adapter_model.safetensors"), "LoRA adapter", ""),
        (("a-q4_0.gguf",), "GGUF", ""),
    ],
)  # fmt: skip
def test_the_form_of_a_folder_is_told_by_its_files(
    tmp_path: Path, files: tuple[str, ...], weights: str, tokenizer: str
) -> None:
    for file in files:
        (tmp_path / file).touch()
    assert page.form(tmp_path) == {"class_name": "", "weights": weights, "tokenizer": tokenizer}
