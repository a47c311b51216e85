"""The figures in a folder's ``report.json`` that were measured when its model was loaded.

The file may be a stranger's: what has another form counts as not measured. Nothing is written into a folder that
lengthwise has not written itself.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from lengthwise.errors import ConfigurationError
from lengthwise.models import manifest, plain_file
from lengthwise.models.manifest import REPORT

_MOST_BYTES = 1 << 20
_Rate = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class LoadFigures:
    """What a loaded model needs and does."""

    #: Of its tensors, as the engine holds them. Keys, values and activations of a batch come on top.
    memory_bytes: Annotated[int, Field(ge=0, le=1 << 60)]
    #: In a batch of short texts, to which a model that generates writes 16 tokens at most.
    items_per_second: _Rate
    #: Tokens that are read and tokens that are written.
    tokens_per_second: _Rate
    precision: Literal["int8", "bf16", "fp32"]
    device: Annotated[str, Field(pattern=r"^[a-z0-9:+]{1,60}$")]
    #: On a GPU they matter little.
    threads: Annotated[int, Field(ge=1, le=1 << 20)]

    @property
    def place(self) -> str:
        """What ran where, such as ``int8, cpu, 2 threads``."""
        return f"{self.precision}, {self.device}, {self.threads} thread{'s' * (self.threads != 1)}"

    @property
    def line(self) -> str:
        """The figures as a part of a sentence."""
        speed = f"{self.tokens_per_second:.0f} tokens/s in a short trial, {self.items_per_second:.1f} items/s"
        return f"{speed}; {self.memory_bytes / 1e6:.1f} MB in memory ({self.place})"


class _ReportForm(BaseModel):
    """What tells a report of ``lengthwise model prepare`` from another file of this name."""

    model_config = ConfigDict(strict=True)

    source: str
    revision: str
    quantize: Literal["int8", "none"]
    layers: dict[str, list[int]]
    before: dict[str, Any]
    after: dict[str, Any]


_FIGURES = TypeAdapter(LoadFigures)


def read(folder: Path) -> LoadFigures | None:
    """The figures of the folder's model; None if it has none."""
    try:
        return _FIGURES.validate_python(_report(folder).get("load"))
    except (ConfigurationError, ValidationError):
        return None


def renew(folder: Path, figures: LoadFigures) -> bool:
    """Writes the figures into the report of a folder that lengthwise wrote. Returns whether it did.

    It writes into no other folder: not into the hub's cache, whose files are links, and not where the report is part
    of what names the revision.
    """
    path = folder / REPORT
    try:
        if path.is_symlink() or manifest.lists(folder, REPORT):
            return False
        report = _report(folder)
        _ReportForm.model_validate(report)
        new = folder / f".{REPORT}.{os.getpid()}"
        try:
            new.write_text(json.dumps(report | {"load": asdict(figures)}, indent=2) + "\n", "utf-8")
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
    except (ConfigurationError, ValidationError, OSError):
        return False
    return True


def _report(folder: Path) -> dict[str, Any]:
    """Raises ``ConfigurationError`` if there is none that can be read."""
    found = plain_file.parsed(plain_file.read(folder, REPORT, _MOST_BYTES), REPORT)
    if not isinstance(found, dict):
        raise ConfigurationError(f"{REPORT} is not a JSON object")
    return found
