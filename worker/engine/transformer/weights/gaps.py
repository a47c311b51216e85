"""Where a checkpoint's tensors do not fit the model that ``config.json`` describes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from lengthwise.models.published.naming import said
from worker.engine.protocol import EngineError

#: So many names are said; of the others, only their number is.
_NAMED = 4


@dataclass(frozen=True, slots=True)
class Gaps:
    """The names of tensors, sorted, as transformers reports them: those that are tied or computed are left out."""

    missing: Sequence[str]
    unexpected: Sequence[str]
    #: Each with its shape in the checkpoint and in the model.
    mismatched: Sequence[str]
    n_errors: int

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Self:
        """Reads what ``from_pretrained`` returns with ``output_loading_info``."""
        mismatched = [
            f"{said(name)} (has {_shape(found)}, must have {_shape(needed)})"
            for name, found, needed in report["mismatched_keys"]
        ]
        return cls(
            sorted(map(said, report["missing_keys"])),
            sorted(map(said, report["unexpected_keys"])),
            sorted(mismatched),
            len(report["error_msgs"]),
        )

    def refuse(self, what: str) -> None:
        """Raises ``EngineError`` if tensors are missing or of a wrong shape."""
        if self.missing:
            raise _misfit(what, f"{len(self.missing)} are missing: {_named(self.missing)}")
        if self.mismatched:
            raise _misfit(what, f"{len(self.mismatched)} have a wrong shape: {_named(self.mismatched)}")
        if self.n_errors:
            raise _misfit(what, f"{self.n_errors} cannot be read")

    def unexpected_line(self) -> str:
        """Says which tensors are not used."""
        return f"{len(self.unexpected)} of its tensors belong to no part of the model: {_named(self.unexpected)}"


def _misfit(what: str, how: str) -> EngineError:
    return EngineError(f"{what}: its weights do not fit its config.json: {how}")


def _named(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _shape(size: Sequence[int]) -> str:
    return "×".join(map(str, size)) or "one number"
