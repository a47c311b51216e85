"""Fixtures of the tests with public repositories, and the page that a run of them makes (``page``)."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from lengthwise import settings
from tests.published import page
from tests.published.hub import TOKEN, Hub
from tests.published.published import Published

#: Publishes repositories of the fixture, by name, on the hub that this process fetches from.
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
def reached_hub(model_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub that ``huggingface_hub`` fetches from, in this process and in new ones, into a fresh cache.

    ``LENGTHWISE_MODELS`` names a ``models.toml`` in ``tmp_path``, which is the current folder.
    """
    environment = model_hub.environment(tmp_path / "home", TOKEN) | {"HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, model_hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", model_hub.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    monkeypatch.setenv("LENGTHWISE_MODELS", str(tmp_path / "models.toml"))
    monkeypatch.chdir(tmp_path)
    settings.get.cache_clear()
    yield model_hub
    settings.get.cache_clear()


@pytest.fixture
def publish(reached_hub: Hub, published: Callable[[str], Path]) -> Publish:
    from tests.published.repositories import PUBLISHED  # which imports transformers

    def call(name: str) -> None:
        wanted: Published = PUBLISHED[name]
        reached_hub.serve(name, published(name), is_gated=wanted.is_gated)

    return call
