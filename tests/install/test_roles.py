"""The wheel, installed in clean environments for each role, and the commands of each: ``make test-install``."""

import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests import caller, servers
from tests.install.environments import Environment, build_wheel
from tests.servers import MASTER_KEY, Urls, free_port, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

#: What the client has no use for; some of it is large.
SERVER = {"alembic", "celery", "cryptography", "fastapi", "psycopg", "sqlalchemy", "tokenizers", "torch", "uvicorn"}
SCRIPT = """
from lengthwise import Client
with Client() as client:
    job = client.submit(["我吃了一个苹果。"], kind="translate", source="zh", target="en")
    print([result.text for result in job.results()])
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where PostgreSQL's own user may look, too."""
    with servers.reachable_folder() as found:
        yield found


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Path:
    return build_wheel(folder / "wheel")


@pytest.fixture(scope="module")
def base(folder: Path, wheel: Path) -> Environment:
    return Environment.make(folder / "base", wheel, "")


@pytest.fixture(scope="module")
def api(folder: Path, wheel: Path) -> Environment:
    return Environment.make(folder / "api", wheel, "api")


@pytest.fixture(scope="module")
def worker(folder: Path, wheel: Path) -> Environment:
    return Environment.make(folder / "worker", wheel, "worker", with_torch=True)


def answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own
        return bool(answer.status == 200)
    return False


def test_the_base_is_small(base: Environment, capsys: pytest.CaptureFixture[str]) -> None:
    packages = base.packages()
    with capsys.disabled():
        print(f"\npip install lengthwise: {len(packages)} packages, {base.megabytes():.0f} MB")
    assert packages & SERVER == set()
    assert len(packages) <= 25
    assert base.megabytes() < 70


def test_every_command_of_the_base_has_help(base: Environment) -> None:
    for command in ("", "submit", "jobs", "results", "keys", "webhooks", "up", "api", "worker", "migrate", "model"):
        assert "Usage" in base.lengthwise(*command.split(), "--help")


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        ("up", "local"),
        ("api", "api"),
        ("worker", "worker"),
        ("worker --queues deliver", "server"),
        ("migrate", "server"),
        ("model prepare a b", "worker"),
    ],
)
def test_a_server_command_of_the_base_says_what_to_install(base: Environment, arguments: str, extra: str) -> None:
    said = base.lengthwise(*arguments.split(), code=2)
    assert said.endswith(f'is not installed: pip install "lengthwise[{extra}]"\n')
    assert said.count("\n") == 1


def test_without_torch_a_worker_says_what_to_install(api: Environment) -> None:
    assert 'pip install "lengthwise[worker]"' in api.lengthwise("worker", "--queues", "generate", code=2)


def test_a_job_of_the_client_goes_through_an_api_and_a_worker_of_their_own(
    base: Environment, api: Environment, worker: Environment, servers: Urls, redis_url: str
) -> None:
    with servers.bare_database() as database_url:
        installation = {
            "LENGTHWISE_DATABASE_URL": database_url,
            "LENGTHWISE_REDIS_URL": redis_url,
            "LENGTHWISE_MASTER_KEY": MASTER_KEY,
            **caller.VARIABLES,
        }
        url = f"http://127.0.0.1:{free_port()}"
        client = {"LENGTHWISE_URL": url, "LENGTHWISE_API_KEY": caller.KEY}
        api.lengthwise("migrate", environment=installation)
        with api.running("api", "--port", url.rpartition(":")[2], environment=installation) as serving:
            wait_until(lambda: answers(f"{url}/healthz") or not serving.is_running)
            assert answers(f"{url}/healthz"), serving.output()
            (base.folder / "in.txt").write_text("我吃了一个苹果。\n", "utf-8")
            submit = ("submit", "in.txt", "--kind", "translate", "--from", "zh", "--to", "en")
            job = base.lengthwise(*submit, environment=client).strip()
            assert job in base.lengthwise("jobs", environment=client)
            with (
                worker.running("worker", "--queues", "generate", environment=installation) as generating,
                api.running("worker", "--queues", "deliver", environment=installation) as delivering,  # without torch
            ):
                wait_until(lambda: " ready." in delivering.output() or not delivering.is_running)
                assert delivering.is_running, delivering.output()
                base.lengthwise("results", job, "--wait", "-o", "out.txt", environment=client)
                assert (base.folder / "out.txt").read_text() == "I ate an apple.\n", generating.output()
                assert base.python("-c", SCRIPT, environment=client) == "['I ate an apple.']\n"


@pytest.mark.parametrize("extra", ["local", "all"])
def test_up_runs_everything(folder: Path, wheel: Path, extra: str) -> None:
    environment = Environment.make(folder / extra, wheel, extra, with_torch=True)
    environment.python("-m", "pip", "check")
    data = folder / f"{extra}-data"
    with environment.running("up", "--data", str(data), "--port", "0", environment={}) as running:
        wait_until(lambda: "ready http" in running.output() or not running.is_running, 120)
        assert running.is_running, running.output()
        url = running.output().split("ready http")[1].split()[0]
        client = {"LENGTHWISE_URL": f"http{url}", "LENGTHWISE_API_KEY": (data / "admin.key").read_text().strip()}
        assert environment.python("-c", SCRIPT, environment=client) == "['I ate an apple.']\n"
