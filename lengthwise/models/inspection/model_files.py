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


def importing(spec: ModelSpec) -> str:
    """The command that brings the model into the form that is served, in a folder of its own, with the same options."""
    if spec.engine != "torch":  # whose folder may hold a tokenizer alone
        return convert_tokenizer(spec)
    if spec.hub is None:
        origin, name = "FOLDER", spec.path.name if spec.path is not None else ""
    else:
        origin = f"{shlex.quote(spec.hub)} --revision {shlex.quote(str(spec.revision))}"
        name = spec.hub.rpartition("/")[2]
    own = " --as NAME" if name == spec.name else ""  # each name stands once in models.toml
    return f"lengthwise model add {origin}{own}, then remove [models.{spec.name}] from models.toml"


def convert_tokenizer(spec: ModelSpec) -> str:
    """The command that writes tokenizer.json by transformers' own converters."""
    program = f"transformers.AutoTokenizer.from_pretrained('{spec.hub or 'FOLDER'}').save_pretrained('FOLDER')"
    return f'python -c "import transformers; {program}"'
