"""The licence that a model's folder names. Its files are a stranger's."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.models.published import licence


def card(folder: Path, front: str, body: str = "# A model\n") -> Path:
    (folder / licence.CARD).write_bytes(f"---\n{front}\n---\n{body}".encode())
    return folder


@pytest.mark.parametrize(
    ("front", "named"),
    [
        ("license: apache-2.0", "apache-2.0"),
        ("language:\n- zh\n- en\nlicense: cc-by-nc-4.0\ntags:\n- translation", "cc-by-nc-4.0"),
        ('license: "mit"', "mit"),
        ("license: 'mit'  ", "mit"),
        ("license: mit # and nothing else", "mit"),
        ("license:   mit\r", "mit"),
        ("license: llama3.2\nlicense_name: llama", "llama3.2"),
        ("license: other\nlicense_name: qwen-research\nlicense_link: LICENSE", "other (qwen-research)"),
        ("license_name: deepseek", "deepseek"),
        ("license: other", "other"),
        ("license: Apache License 2.0", "Apache License 2.0"),
        ("license:\n- mit\n- cc-by-4.0\ntags: x", "mit, cc-by-4.0"),
        ("license:\n  - mit", "mit"),
        ("license: [mit, 'gpl-3.0']", "mit, gpl-3.0"),
        ("license:", None),
        ("license: null", None),
        ("license: ~", None),
        ("license: ''", None),
        ("license: []", None),
        ("license: # to come", None),
        ("license:mit", None),
        ("License: mit", None),
        ("licenses: mit", None),
        ("base:\n  license: mit", None),
        ("  license: mit", None),
        ("- license: mit", None),
    ],
)
def test_the_front_matter_of_a_card_names_it(front: str, named: str | None, tmp_path: Path) -> None:
    assert licence.of(card(tmp_path, front)) == named


@pytest.mark.parametrize(
    "front",
    [
        "license: \x1b[2Jmit",
        "license: m\x00it",
        "license: m\u202eit",
        "license: [red]mit[/red]",
        "license: '[link=http://evil]mit[/link]'",
        "license: <b>mit</b>",
        "license: `mit`",
        "license: 许可",
        "license: |\n  Do as you like,\n  but tell me.",
        "license: >-\n  mit",
        "license:\n  name: mit",
        "license: *shared",
        "a: &a [x, x]\nb: &b [*a, *a]\nlicense: &c [*b, *b]",
        "license: !!python/object/apply:os.system [id]",
        "license: {{ mit }}",
        "license: mit\nlicense: gpl-3.0",
        "license: " + "x" * 61,
        "license: [a, b, c, d, e]",
        "license:\n" + "- mit\n" * 5,
        "license: other\nlicense_name: '\x1b[31mmine'",
    ],
)
def test_what_is_no_plain_name_is_said_to_be_in_the_card_and_never_shown(front: str, tmp_path: Path) -> None:
    assert licence.of(card(tmp_path, front)) == licence.SEE_CARD


@pytest.mark.parametrize(
    "text",
    [
        "",
        "license: mit\n",
        "# A model\n---\nlicense: mit\n---\n",
        "---\nlicense: mit\n",
        "---\n---\nlicense: mit\n---\n",
        "--- a\nlicense: mit\n---\n",
    ],
)
def test_a_key_outside_of_the_front_matter_names_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / licence.CARD).write_text(text)
    assert licence.of(tmp_path) is None


@pytest.mark.parametrize(
    "text", ["\ufeff---\nlicense: mit\n---\n", "\n---\r\nlicense: mit\r\n---", "---\rlicense: mit\r---"]
)
def test_a_card_from_any_editor_is_read(text: str, tmp_path: Path) -> None:
    (tmp_path / licence.CARD).write_bytes(text.encode())
    assert licence.of(tmp_path) == "mit"


def test_a_card_in_another_encoding_is_read(tmp_path: Path) -> None:
    (tmp_path / licence.CARD).write_bytes("---\nauthor: André\nlicense: mit\n---\n".encode("latin-1"))
    assert licence.of(tmp_path) == "mit"


@pytest.mark.parametrize(("results", "named"), [(20_000, "mit"), (200_000, None)])
def test_the_key_may_stand_behind_a_table_of_results_of_up_to_a_mebibyte(
    results: int, named: str | None, tmp_path: Path
) -> None:
    table = "model-index:\n" + "\n".join(["  - type: cos_sim", "    value: 81.2"] * (results // 2))
    assert licence.of(card(tmp_path, f"{table}\nlicense: mit")) == named


def test_many_keys_cost_no_more_than_their_lines(tmp_path: Path) -> None:
    assert licence.of(card(tmp_path, "license:\n" * 100_000)) is None


def test_a_licence_file_is_said_where_no_card_names_a_licence(tmp_path: Path) -> None:
    assert licence.of(tmp_path) is None
    (tmp_path / "LICENSE.txt").write_text("\x1b[2J Do as you like.")
    assert licence.of(tmp_path) == licence.SEE_FILE
    card(tmp_path, "language: de")
    assert licence.of(tmp_path) == licence.SEE_FILE
    card(tmp_path, "license: mit")
    assert licence.of(tmp_path) == "mit"
    assert licence.files(tmp_path) == ["README.md", "LICENSE.txt"]


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / licence.CARD)
    (tmp_path / "LICENSE").mkdir()
    assert (licence.of(tmp_path), licence.files(tmp_path)) == (None, [])
    (tmp_path / licence.CARD).unlink()
    (tmp_path / licence.CARD).symlink_to("/dev/zero")
    assert (licence.of(tmp_path), licence.files(tmp_path)) == (None, [])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


_LINE = st.sampled_from(["license:", "license_name:", "- ", "  ", "[", "]", "'", "other", "mit", "\x1b[0m", "---", "#"])


@given(front=st.lists(_LINE | st.text(max_size=8) | st.just("\n"), max_size=20).map("".join))
def test_whatever_a_card_holds_what_is_shown_is_a_plain_line(front: str, folder: Path) -> None:
    found = licence.of(card(folder, f"license: {front}"))
    assert found is None or re.fullmatch(r"[\w.+, ()-]{1,300}", found, re.ASCII)
