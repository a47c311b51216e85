"""A model's folder as its checks see it, and what is said to mend it."""

import shlex
from pathlib import Path
from typing import Any, NamedTuple

from lengthwise.errors import ModelUnusable
from lengthwise.models.catalog import ModelSpec

ANOTHER = "name another model in models.toml"


class ModelFiles(NamedTuple):
    """A model's folder and its ``config.json``. ``is_local``: whether engine and weights must be on this machine."""

    spec: ModelSpec
    folder: Path
    config: dict[str, Any]
    is_local: bool

    def refusal(self, code: str, reason: str, remedy: str) -> ModelUnusable:
        return ModelUnusable(self.spec.name, code, reason, remedy)


def download(spec: ModelSpec) -> str:
    return f"hf download {shlex.quote(str(spec.hub))} --revision {shlex.quote(str(spec.revision))}"


def fetch_again(spec: ModelSpec) -> str:
    return download(spec) if spec.hub is not None else "copy the model's files into its folder again"


def convert(spec: ModelSpec, loader: str) -> str:
    """The command that writes what the folder lacks by one of transformers' classes."""
    program = f"transformers.{loader}.from_pretrained('{spec.hub or 'FOLDER'}').save_pretrained('FOLDER')"
    return f'python -c "import transformers; {program}"'
