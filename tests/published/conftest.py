"""Fixtures for models that are added from the loopback hub."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from lengthwise import settings
from lengthwise.cli.main import main
from tests.published.hub import Hub
from tests.published.small import WEIGHTS, Refused


@pytest.fixture
def catalog(model_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The ``models.toml`` of this process, which does not exist yet. The hub is the loopback one, its cache empty."""
    point_to(model_hub.url, monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("LENGTHWISE_MODELS", str(tmp_path / "models.toml"))
    settings.get.cache_clear()
    yield tmp_path / "models.toml"
    settings.get.cache_clear()


def point_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes this process ask another hub, as ``HF_ENDPOINT`` does for a new one."""
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", url)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A repository's folder with what is fetched, and with files for other programs."""
    folder = tmp_path / "small"
    for name in ("1_Pooling", "onnx"):
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text(json.dumps({"of": name}))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    (folder / "config.json").write_text('{"of": "the model"}')  # the cache keeps equal files once
    (folder / "tokenizer.json").write_text('{"of": "the tokenizer"}')
    (folder / "onnx" / "model.onnx").write_bytes(b"x")
    (folder / WEIGHTS).write_bytes(bytes(range(256)) * 256)
    return folder


@pytest.fixture
def refused(catalog: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["lengthwise", "model", "add", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        line = err.splitlines()[-1]
        assert (ended.value.code, out) == (2, "")
        assert line.startswith("lengthwise: ") and line.isprintable()
        assert err.count("lengthwise: ") == 1 and "Traceback" not in err
        assert not catalog.exists()
        assert list(catalog.parent.glob("models/*")) + list(catalog.parent.glob("models/.*")) == []
        assert list(catalog.parent.glob("cache/**/*.incomplete")) == []
        return line.removeprefix("lengthwise: ")

    return call


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeats what failed at once."""
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
