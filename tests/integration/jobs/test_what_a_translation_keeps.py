"""Texts that go through a model that copies: all of them come back as they were sent, through the whole system."""

import json
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import polib
import pytest
from starlette.testclient import TestClient

from tests.fakes import write_identity_model
from tests.integration.conftest import RunWorker, submit

CATALOG = """
[models.identity]
path = "identity"
engine = "echo"
[models.identity.translate]
pairs = [["en", "de"], ["en", "zh"], ["zh", "en"]]
"""

TEXTS = {
    "escaped markup": [
        "I ate an apple. &lt;img src=x onerror=alert(1)&gt;",
        "Use &lt;p&gt; for paragraphs and &lt;b&gt; for bold.",
        "<code>&lt;div&gt;</code> is a tag",
    ],
    "markup": [
        "<p>I ate an apple.</p><p>I ate an apple.</p>",
        "<ul><li>I ate an apple.</li></ul>",
        "I ate an apple.<br>I ate an apple.",
        'Click <span class="price">here</span> now.',
        "<!-- wp:paragraph --><p>I ate an apple.</p><!-- /wp:paragraph -->",
    ],
    "placeholders": [
        "Hello %{name}, I ate an apple.",
        "Hello #{name}, I ate an apple.",
        "Hello {}, I ate an apple.",
        "Hello :name, I ate an apple.",
        "Hello %1, I ate an apple.",
        "Hello $name, I ate an apple.",
        "Hello <%= name %>, I ate an apple.",
        "Hello [[name]], I ate an apple.",
    ],
    "blanks and Markdown": [
        "Name: ",
        "- a\n  - b\n    - c",
        "```\nif x:\n    y = 1\n```",
        "one\n\n\n\ntwo",
        "",
        " ",
        "  indented\n\ttab\r\nline\n",
    ],
    "messages with branches": [
        "You have {count, plural, one {# item} other {# items}}.",
        "{gender, select, male {He} female {She} other {They}} liked it.",
    ],
    "emoji": ["Nice 👩‍👩‍👧 flag 🏴󠁧󠁢󠁥󠁮󠁧󠁿 and skin 👍🏽!", "🇩🇪 to 🇨🇳 1️⃣"],
    "long sentences": ["and the lamp on the table, " * 200, "字" * 900],
}


@pytest.fixture
def identity(catalog: Path) -> None:
    """Adds a model that copies to the catalog."""
    write_identity_model(catalog.parent / "identity")
    catalog.write_text(catalog.read_text() + CATALOG)


def translated(client: TestClient, run_worker: RunWorker, texts: list[str], **params: str) -> list[str]:
    items = [{"text": text} for text in texts]
    job = submit(client, items, "translate", model="identity", **{"source": "en", "target": "de"} | params)
    run_worker()
    lines = [json.loads(line) for line in client.get(job["links"]["results"]).text.split("\n") if line]
    assert [line["status"] for line in lines] == ["succeeded"] * len(texts)
    return [line["output"]["text"] for line in lines]


@pytest.mark.parametrize("pair", [("en", "de"), ("en", "zh"), ("zh", "en")])
@pytest.mark.usefixtures("identity")
def test_every_text_comes_back_as_it_was_sent(client: TestClient, run_worker: RunWorker, pair: tuple[str, str]) -> None:
    texts = [text for group in TEXTS.values() for text in group]
    assert translated(client, run_worker, texts, source=pair[0], target=pair[1]) == texts


@pytest.mark.skipif(shutil.which("msgfmt") is None, reason="needs msgfmt of GNU gettext")
@pytest.mark.usefixtures("identity")
def test_a_real_message_catalogue_is_still_one_after_its_translation(
    client: TestClient, run_worker: RunWorker, tmp_path: Path
) -> None:
    """WTForms is a package of Debian, too. ``msgfmt -c`` checks placeholders, and newlines at the ends."""
    path = resources.files("wtforms") / "locale" / "de" / "LC_MESSAGES" / "wtforms.po"
    catalogue = polib.pofile(str(path))
    entries = [entry for entry in catalogue if not entry.obsolete]
    texts = [text for entry in entries for text in (entry.msgid, entry.msgid_plural or entry.msgid)]
    found = iter(translated(client, run_worker, texts))
    for entry in entries:
        one, many = next(found), next(found)
        assert (one, many) == (entry.msgid, entry.msgid_plural or entry.msgid)
        entry.flags = [flag for flag in entry.flags if flag != "fuzzy"]
        if entry.msgid_plural:
            entry.msgstr_plural = dict.fromkeys(entry.msgstr_plural, many) | {0: one}
        else:
            entry.msgstr = one
    catalogue.save(str(tmp_path / "out.po"))
    checked = subprocess.run(
        ["msgfmt", "-c", "-o", "/dev/null", str(tmp_path / "out.po")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
