"""A classifier's labels: what they are called, how their scores are to be read, and which of them are harmless."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from lengthwise.errors import ConfigurationError

#: transformers' names for labels that nobody named.
_UNNAMED = re.compile(r"LABEL_\d+", re.IGNORECASE)
#: More labels than any classifier has.
_MOST = 100_000
#: Characters of a label, at most. Errors show labels.
_LONGEST = 200
_MARKS = re.compile(r"[\s_\-/.,']+")

#: Labels that say that nothing is wrong, in lower case and without marks.
_HARMLESS = frozenset(
    {
        *("neutral", "ok", "okay", "safe", "normal", "clean", "none", "benign", "harmless", "acceptable"),
        *("appropriate", "sfw", "ham", "nontoxic", "nottoxic", "nothate", "nonhate", "nohate", "nothateful"),
        *("nonhateful", "notoffensive", "nonoffensive", "notharmful", "nonharmful", "unharmful", "notspam", "nonspam"),
        *("notabusive", "nonabusive", "noviolation", "nothing", "notnsfw", "notsexist", "nonsexist"),
    }
)
#: Labels that say whom a text is about. They are no categories either.
_ATTRIBUTES = frozenset(
    {
        *("male", "female", "transgender", "othergender", "heterosexual", "homosexualgayorlesbian", "bisexual"),
        *("othersexualorientation", "christian", "jewish", "muslim", "hindu", "buddhist", "atheist", "otherreligion"),
        *("black", "white", "asian", "latino", "otherraceorethnicity", "physicaldisability", "otherdisability"),
        *("intellectualorlearningdisability", "psychiatricormentalillness"),
    }
)
#: The labels of natural language inference.
_INFERENCE = frozenset({"entailment", "notentailment", "neutral", "contradiction"})


class Labels(NamedTuple):
    """``are_exclusive``: their scores are a softmax, so that one of them always holds; otherwise each is a sigmoid."""

    names: tuple[str, ...]
    are_exclusive: bool
    #: Whether the outputs are quantities, and no probabilities.
    are_quantities: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """Those of a ``config.json``. Raises ``ConfigurationError`` if it does not list them as transformers does."""
        names = _names(config)
        problem = config.get("problem_type")
        return cls(names, are_exclusive(problem, len(names)), problem == "regression")

    @property
    def are_unnamed(self) -> bool:
        return all(_UNNAMED.fullmatch(name) for name in self.names)

    @property
    def are_of_inference(self) -> bool:
        """Whether the model judges if one text follows from another, as models for zero-shot classification do."""
        return "entailment" in (found := set(map(_plain, self.names))) and found <= _INFERENCE

    def harmless(self) -> tuple[str, ...]:
        """The labels that are known to name nothing bad, such as ``neutral``, ``not_toxic`` and ``male``."""
        known = _HARMLESS | _ATTRIBUTES | self._denials()
        return tuple(name for name in self.names if _plain(name) in known)

    def _denials(self) -> set[str]:
        """``non-x`` and the like, for each label ``x`` that is not harmless itself."""
        harmful = [plain for plain in map(_plain, self.names) if plain not in _HARMLESS]
        return {denial + plain for plain in harmful for denial in ("non", "not", "no")}

    def alike(self, name: str) -> str | None:
        """The label that differs from ``name`` in case and marks alone."""
        return next((each for each in self.names if _plain(each) == _plain(name)), None)


def are_exclusive(problem_type: object, n_labels: int) -> bool:
    """Whether the scores are a softmax. That of a single label would always be 1."""
    return problem_type != "multi_label_classification" and n_labels > 1


def listed(names: Sequence[str]) -> str:
    """The names for an error, which shows the first 30 of them."""
    return ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")


def _names(config: Mapping[str, Any]) -> tuple[str, ...]:
    table = config.get("id2label")
    if not table:
        count = config.get("num_labels")
        n_labels = count if isinstance(count, int) and 0 < count < _MOST else 2
        return tuple(f"LABEL_{number}" for number in range(n_labels))
    try:
        places = {int(number): label for number, label in table.items()}
    except (AttributeError, TypeError, ValueError):
        raise ConfigurationError("its config.json has no valid id2label") from None
    names = tuple(str(places[number]) for number in sorted(places) if isinstance(places[number], str | int))
    if len(names) < len(table) or not all(name.isprintable() and len(name) <= _LONGEST for name in names):
        raise ConfigurationError("its config.json has labels that are no names")
    return names


def _plain(name: str) -> str:
    return _MARKS.sub("", name).lower()
