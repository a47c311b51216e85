"""Fixtures of the tests with public repositories, and the page that a run of them makes (``page``)."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from lengthwise import settings
from lengthwise.cli.main import main
from tests.published.loopback.hub import TOKEN, Hub
from tests.published.pages import page
from tests.published.published import Published
from tests.published.small import WEIGHTS, Refused

#: Publishes a repository of the fixture, by name, on the hub.
Publish = Callable[[str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-page", action="store_true", help="write docs/published-models.md from this run")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # all results come to the process that pytest-xdist's workers report to
        config.pluginmanager.register(_Page(writes=config.getoption("--write-page", False)))


class _Page:
    """Hears every result, and at the end writes the page or compares it."""

    def __init__(self, *, writes: bool) -> None:
        self._made, self._writes = page.PageOfRun(), writes
        self._wrong: str | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        told = {str(name): str(value) for name, value in report.user_properties}
        if report.when == "call" and not report.failed and "n_repositories" in told:
            self._made.note(told, int(told["n_repositories"]))

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        self._wrong = self._made.end(is_right=exitstatus == pytest.ExitCode.OK, writes=self._writes)
        if self._wrong:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._wrong:
            terminalreporter.write_line(f"FAILED {self._wrong}", red=True)


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
def commands(model_hub: Hub, catalog: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of commands that a test starts. They have the hub, cache and ``models.toml`` of this process.

    The folder of ``models.toml`` is the current one, and the token may read gated repositories.
    """
    more = {"HF_HUB_CACHE": constants.HF_HUB_CACHE, "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    for name, value in (model_hub.environment(catalog.parent / "home", TOKEN) | more).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(catalog.parent)
    return {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}


@pytest.fixture
def publish(model_hub: Hub, published: Callable[[str], Path]) -> Publish:
    from tests.published.repositories import PUBLISHED  # which imports transformers

    def call(name: str) -> None:
        wanted: Published = PUBLISHED[name]
        model_hub.serve(name, published(name), is_gated=wanted.is_gated)

    return call


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A repository's folder with what is fetched, and with files for other programs."""
    folder = tmp_path / "small"
    for name in ("1_Pooling", "onnx"):
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text(json.dumps({"of": name}))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    (folder / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
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
