"""The commands of docs/models.md and docs/shrinking.md run as they are written, against a hub on this machine."""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from lengthwise import settings
from lengthwise.child import Program
from lengthwise.cli import main, server
from lengthwise.local.program import DELIVER, DEVICE_VARIABLE, GENERATE
from lengthwise.models import device, usable
from lengthwise.models.catalog import Catalog
from tests.published.conftest import Publish
from tests.published.loopback.hub import Hub
from tests.published.pages import answering, documented

MODEL = "Helsinki-NLP/opus-mt-zh-en"
COMMANDS = typer.main.get_command(main.app)


@pytest.mark.slow
def test_a_model_is_added_checked_listed_and_sealed(publish: Publish, commands: dict[str, str], tmp_path: Path) -> None:
    publish(MODEL)
    add = documented.block(f"lengthwise model add {MODEL}")
    shown = documented.run(add.strip() + " --dry-run\n", tmp_path, commands)
    assert [*tmp_path.glob("models.toml"), *tmp_path.glob("models/*")] == []
    said = documented.run(add, tmp_path, commands)
    assert "opus-mt-zh-en serves translate" in said
    written = (tmp_path / "models.toml").read_text("utf-8")
    assert tomllib.loads(shown) == tomllib.loads(written)
    spec = Catalog.read(tmp_path / "models.toml").models["opus-mt-zh-en"]
    assert spec.folder == tmp_path / "models" / "opus-mt-zh-en"
    for kind, outputs in answering.answers(spec).items():
        assert all(answering.is_well_formed(spec, kind, output) for output in outputs)
    looked = documented.run("lengthwise model check opus-mt-zh-en\n", tmp_path, commands)
    assert "load and answer" in looked
    listed = documented.run(documented.block("lengthwise model list"), tmp_path, commands)
    [row] = [line for line in listed.splitlines() if "opus-mt-zh-en" in line]
    assert " usable " in row and "translate" in row
    documented.run("lengthwise model manifest models/opus-mt-zh-en\n", tmp_path, commands)
    assert usable.unusable(spec, is_local=True) is None
    (spec.folder / "config.json").write_text("{}")
    refused = usable.unusable(spec, is_local=True)
    assert refused is not None and refused.code == "manifest_differs"


@pytest.mark.slow
def test_a_folder_is_made_for_another_revision(
    publish: Publish, model_hub: Hub, commands: dict[str, str], tmp_path: Path
) -> None:
    publish(MODEL)
    commit = model_hub.repositories[MODEL]["main"].commit
    begun = f"lengthwise model prepare {MODEL} models/opus-mt-zh-en-new --revision $COMMIT"
    said = documented.run(documented.block(begun), tmp_path, commands | {"COMMIT": commit})
    assert f'revision = "{commit}-int8"' in said
    assert (tmp_path / "models" / "opus-mt-zh-en-new" / "model.safetensors").is_file()


@pytest.mark.slow
def test_a_model_is_prepared_and_measured_on_the_sample(commands: dict[str, str], tmp_path: Path) -> None:
    sample = documented.block('{"kind": "translate", "source": "zh", "target": "en"}')
    (tmp_path / "sample.ndjson").write_text(sample, "utf-8")
    script = documented.block("lengthwise model prepare demo-translate models/translate-small --sample sample.ndjson")
    of_demo = {name: value for name, value in commands.items() if name != "LENGTHWISE_MODELS"}
    said = documented.run(script, tmp_path, of_demo)
    assert "identical of 1 items" in said
    [table] = tomllib.loads(said[said.index("[models.") :])["models"].values()
    (tmp_path / "models.toml").write_text(said[said.index("[models.") :], "utf-8")
    assert table["path"] == str(tmp_path / "models" / "translate-small")
    report = json.loads((tmp_path / "models" / "translate-small" / "report.json").read_text("utf-8"))
    assert report["agreement"]["items"] == 1
    [spec] = Catalog.read(tmp_path / "models.toml").models.values()
    assert usable.unusable(spec, is_local=True) is None


def test_devices_that_this_machine_lacks_are_only_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line parses the option on a machine that seems to have four GPUs, and starts nothing."""
    started: list[Program] = []

    def start(programs: Sequence[Program], _grace: float) -> None:
        started.extend(programs)

    monkeypatch.setattr(device, "_gpus", lambda: [f"cuda:{number}" for number in range(4)])
    monkeypatch.setattr(server, "_settings_with_servers", settings.get)
    monkeypatch.setattr(server, "_work_side_by_side", start)
    block = documented.block("lengthwise worker --devices cuda:0+cuda:1,cuda:2+cuda:3")
    ran = CliRunner().invoke(main.app, shlex.split(block)[1:])
    assert ran.exit_code == 0, (ran.output, ran.exception)
    places = [(each.environment or {}).get(DEVICE_VARIABLE) for each in started if each.name.startswith(GENERATE)]
    assert places == ["cuda:0+cuda:1", "cuda:2+cuda:3"]
    assert [each.name for each in started if each.name.startswith(DELIVER)] == [f"{DELIVER}-1"]


def named() -> Iterator[tuple[str, str]]:
    """The commands in the running text of the pages, such as ``model check NAME``, with their pages."""
    for page in documented.PAGES:
        text = (documented.ROOT / page).read_text("utf-8")
        for span in re.findall(r"`((?:lengthwise|model) [^`\n]+)`", text):
            yield page, span.removeprefix("lengthwise ")


@pytest.mark.parametrize(("page", "span"), list(dict.fromkeys(named())))
def test_every_command_in_the_text_is_one(page: str, span: str) -> None:
    words = span.split()
    command: Any = COMMANDS
    while words and isinstance(command, TyperGroup):
        assert words[0] in command.commands, f"{page}: {span}"
        command = command.commands[words.pop(0)]
    known = {name for parameter in command.params for name in parameter.opts}
    assert [word for word in words if word.startswith("--") and word not in known] == [], f"{page}: {span}"


def test_every_option_in_the_text_is_one() -> None:
    groups: list[Any] = [COMMANDS]
    known: set[str] = set()
    while groups:
        command = groups.pop()
        groups += command.commands.values() if isinstance(command, TyperGroup) else ()
        known |= {name for parameter in command.params for name in parameter.opts}
    for page in documented.PAGES:
        text = (documented.ROOT / page).read_text("utf-8")
        shown = set(re.findall(r"`(--[a-z-]+)[^`\n]*`", text))
        assert shown <= known, page
