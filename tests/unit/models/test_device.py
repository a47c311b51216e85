"""``lengthwise worker --devices``: which processes it makes, and what it refuses."""

import subprocess
import sys
from pathlib import Path

import pytest

from lengthwise.cli import server
from lengthwise.errors import ConfigurationError
from lengthwise.local import program
from lengthwise.models import device


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two GPUs."""
    monkeypatch.setattr(device, "_gpus", lambda: ["cuda:0", "cuda:1"])


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(
    ("option", "found"),
    [
        ("all", ["cuda:0", "cuda:1"]),
        ("cuda:1", ["cuda:1"]),
        ("cuda:1, cuda:0", ["cuda:1", "cuda:0"]),
        ("cpu,cpu", ["cpu", "cpu"]),
        ("cuda:0,cuda:0,cpu", ["cuda:0", "cuda:0", "cpu"]),
        ("cuda:0+cuda:1,cpu+cpu", ["cuda:0+cuda:1", "cpu+cpu"]),
    ],
)
def test_the_named_devices_are_used(option: str, found: list[str]) -> None:
    assert device.parse_devices(option) == found


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("", "''"),
        ("cpu,", "''"),
        ("all,cpu", "'all'"),
        ("gpu", "'gpu'"),
        ("cuda", "'cuda'"),
        ("cuda:x", "'cuda:x'"),
        ("cuda:2", "no cuda:2, only cpu, cuda:0, cuda:1"),
        ("cuda:0+cuda:2", "no cuda:2, only cpu, cuda:0, cuda:1"),
        ("cuda:0+cuda:0", "twice"),
        ("cuda:0+cpu", r"'cuda:0\+cpu'"),
        ("cuda:0+", r"'cuda:0\+'"),
    ],
)
def test_an_invalid_or_missing_device_is_an_error(option: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"--devices: .*{message}"):
        device.parse_devices(option)


def test_all_means_the_cpu_if_torch_sees_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert device.parse_devices("all") == ["cpu"]


def test_an_error_says_that_the_gpus_cannot_be_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="cannot be counted"):
        device.parse_devices("all")
    assert device.parse_devices("cpu") == ["cpu"], "for which nobody is asked"


def test_generation_has_one_process_for_each_device_and_deliveries_have_one() -> None:
    made = program.workers(["generate", "deliver"], ["cuda:0", "cuda:1"], {"OWN": "x"})
    assert [each.name for each in made] == ["generate-1", "generate-2", "deliver-1"]
    assert [(each.environment or {}).get("LENGTHWISE_DEVICE") for each in made] == ["cuda:0", "cuda:1", None]
    assert {(each.environment or {})["OWN"] for each in made} == {"x"}
    assert len({each.command[each.command.index("--name") + 1] for each in made}) == 3


def test_without_devices_each_queue_has_one_process_with_the_device_of_the_settings() -> None:
    made = program.workers(["generate", "deliver"], [], {"LENGTHWISE_DEVICE": "cuda:3"})
    assert [(each.name, (each.environment or {})["LENGTHWISE_DEVICE"]) for each in made] == [
        ("generate-1", "cuda:3"),
        ("deliver-1", "cuda:3"),
    ]


def test_deliveries_run_on_no_device() -> None:
    with pytest.raises(ConfigurationError, match="--devices: only generate"):
        server.worker(queues="deliver", devices="cpu")


def test_naming_devices_does_not_import_torch() -> None:
    imports = "from lengthwise.cli import server; from lengthwise.models import device"
    looks = f"import sys; {imports}; device.parse_devices('cpu'); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", looks], check=True)
