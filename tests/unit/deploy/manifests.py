"""Reads the manifests of deploy/kubernetes as they are written, and as kubectl renders an overlay."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("local", "production", "gpu")
#: Kustomize as it is in kubectl since 1.25: components, and patches with a target.
OLDEST_KUSTOMIZE = (4, 5)

Manifest = dict[str, Any]
WORKLOADS = ("Deployment", "StatefulSet", "Job")


def documents(path: Path) -> list[Manifest]:
    return [each for each in yaml.safe_load_all(path.read_text("utf-8")) if each]


def written(folder: str = "") -> dict[str, list[Manifest]]:
    """All documents below a folder, by the path of their file."""
    files = sorted((FOLDER / folder).rglob("*.yaml"))
    return {path.relative_to(FOLDER).as_posix(): documents(path) for path in files}


def find(kind: str, name: str, folder: str = "base") -> Manifest:
    """The one object of this kind and name in a folder."""
    (found,) = [each for each in objects(folder) if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def objects(folder: str) -> list[Manifest]:
    return [each for found in written(folder).values() for each in found if "metadata" in each]


def pod(workload: Manifest) -> Manifest:
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


def containers(workload: Manifest) -> list[Manifest]:
    return [*pod(workload).get("initContainers", ()), *pod(workload)["containers"]]


def variables(path: Path) -> dict[str, str]:
    """The variables of a file for a configMapGenerator."""
    lines = [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def generated_settings() -> Iterator[tuple[str, dict[str, str]]]:
    """What each kustomization puts into the ConfigMap ``settings``."""
    for path, found in written().items():
        for document in found:
            for generator in document.get("configMapGenerator", ()):
                if generator["name"] == "settings":
                    literals = dict(each.split("=", 1) for each in generator.get("literals", ()))
                    for name in generator.get("envs", ()):
                        literals |= variables((FOLDER / path).parent / name)
                    yield path, literals


@cache
def _kubectl() -> str:
    """The path of a kubectl that renders our overlays. Skips the test if there is none."""
    found = shutil.which("kubectl")
    if found is None:
        pytest.skip("kubectl is not installed, so no overlay can be rendered")
    ran = subprocess.run([found, "version", "--client", "-o", "json"], capture_output=True, text=True, check=True)
    version = json.loads(ran.stdout).get("kustomizeVersion", "v0.0")
    major, minor, *_ = version.removeprefix("v").split(".")
    if (int(major), int(minor)) < OLDEST_KUSTOMIZE:
        pytest.skip(f"kubectl has kustomize {version}, which is too old to render the overlays")
    return found


@cache
def rendered(overlay: str) -> list[Manifest]:
    """The objects of an overlay, as ``kubectl apply -k`` would send them."""
    ran = subprocess.run(
        [_kubectl(), "kustomize", str(FOLDER / "overlays" / overlay)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return [each for each in yaml.safe_load_all(ran.stdout) if each]
