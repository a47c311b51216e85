"""docs/published-models.md: what each public repository of the fixture is, and what came of adding it.

``make test-models`` writes the page from what its tests found. Imports no torch, so that every process can render it.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.published import distance

PAGE = Path(__file__).parents[3] / "docs" / "published-models.md"
COMMAND = "make test-models"
AS_TRANSFORMERS = "as transformers"

#: The heading of a repository, by the first kind that it should serve.
HEADINGS = {
    "translate": "Translation",
    "chat": "Chat and generation",
    "generate": "Chat and generation",
    "embed": "Embedding",
    "moderate": "Moderation",
    "": "Refused",
}
_COLUMNS = ("repository", "class", "weights", "tokenizer", "kinds", "int8", "answers")
_COLUMNS_OF_REFUSED = ("repository", "class", "weights", "tokenizer", "error")
_INTRODUCTION = f"""# Published models

`{COMMAND}` writes this page: it adds each of these repositories with `lengthwise model add`
([models.md](models.md#add-a-published-model)), and compares the answers with those of transformers. Do
not edit it.

The repositories are rebuilt. Names of files, `config.json`, chat templates and the forms of tokenizers
and weights are as published; the weights are random, and the models tiny. So the tables say which forms
are read rightly, and nothing of how well a model answers. Names that begin with `example/` are made up.

- **weights**, **tokenizer**: in which form the repository has them.
- **kinds**: what the table serves that `model add` proposes. Answers were compared for the first of them.
- **int8**: whether the model runs in int8.
- **answers**: "{AS_TRANSFORMERS}" means, in fp32 and for four texts each: the tokens of prompts and answers
  are equal, scores differ by at most {distance.SCORES:.0e}, and vectors' components by at most {distance.VECTORS:.0e}.
  Where vectors differ by more, transformers computes them in float64, too: ours are at most {distance.TIMES_AS_FAR}
  times as far from these as its own in fp32. In both, quantized weights get the precision that
  `config.json` names, and an adapter is merged in that of its base.
"""

_TOKENIZERS = (
    ("tokenizer.json",), ("source.spm", "target.spm", "vocab.json"), ("sentencepiece.bpe.model", "vocab.json"),
    ("sentencepiece.bpe.model",), ("spiece.model",), ("spm.model",), ("tokenizer.model",),
    ("vocab.json", "merges.txt"), ("vocab.txt",),
)  # fmt: skip


class PageRow(NamedTuple):
    """A repository on the page. ``should_serve``: the first kind that it should serve; empty if it must be refused."""

    repository: str
    should_serve: str
    class_name: str
    weights: str
    tokenizer: str
    kinds: str
    int8: str
    answers: str

    def line(self) -> str:
        of_served = (self.kinds, self.int8) if self.should_serve else ()
        cells = (f"`{self.repository}`", self.class_name, self.weights, self.tokenizer, *of_served, self.answers)
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


class PageOfRun:
    """The page that a run of the tests makes, once all repositories have their row."""

    def __init__(self, page: Path = PAGE) -> None:
        self._page = page
        self._rows: dict[str, PageRow] = {}
        self._n_repositories = 0

    def note(self, told: Mapping[str, str], n_repositories: int) -> None:
        """Takes what a test told of a repository: the fields of its row by name. What it did not come to is empty."""
        row = PageRow(**{name: told.get(name, "") for name in PageRow._fields})
        self._rows[row.repository] = row
        self._n_repositories = n_repositories

    def end(self, *, is_right: bool, writes: bool) -> str | None:
        """Writes the page, or compares it with the one that is there. Returns what is wrong, for people.

        ``is_right``: whether no test failed. A run of some repositories alone neither writes nor compares.
        """
        is_complete = is_right and 0 < self._n_repositories == len(self._rows)
        if not is_complete:
            return f"{self._page.name} was not written: a test failed, or did not run" if writes else None
        made = render(self._rows.values())
        if writes:
            self._page.write_text(made, "utf-8")
        elif not self._page.exists() or self._page.read_text("utf-8") != made:
            return f"{self._page.name} is not what this run found: {COMMAND} writes it anew"
        return None


def render(rows: Iterable[PageRow]) -> str:
    """The whole page."""
    ordered = sorted(rows, key=lambda row: row.repository.lower())
    parts = [_INTRODUCTION]
    for heading in dict.fromkeys(HEADINGS.values()):
        lines = [row.line() for row in ordered if HEADINGS[row.should_serve] == heading]
        columns = _COLUMNS_OF_REFUSED if heading == HEADINGS[""] else _COLUMNS
        frame = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
        parts.append("\n".join([f"## {heading}\n", *frame, *lines]) + "\n")
    return "\n".join(parts)


def read(text: str) -> list[PageRow]:
    """The rows of a page. Kinds that share a heading are told apart by the first kind of the row."""
    found, heading = [], ""
    for line in text.splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line.startswith("| `"):
            repository, *cells = (cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1])
            if heading == HEADINGS[""]:
                cells[3:3] = ["", ""]
            possible = [kind for kind, name in HEADINGS.items() if name == heading]
            first = cells[3].partition(",")[0]
            found.append(PageRow(repository.strip("`"), first if first in possible else possible[0], *cells))
    return found


def form(folder: Path) -> dict[str, str]:
    """``class_name``, ``weights`` and ``tokenizer`` of a published folder, as cells."""
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8")) if path.exists() else {}
    names = {each.name for each in folder.iterdir()}
    return {
        "class_name": ", ".join(config.get("architectures", ())),
        "weights": _weights(names, config.get("quantization_config", {})),
        "tokenizer": next((", ".join(each) for each in _TOKENIZERS if names.issuperset(each)), ""),
    }


def _weights(names: set[str], quantization: Mapping[str, str]) -> str:
    shards = sum(name.endswith(".safetensors") and "-of-" in name for name in names)
    pickled_shards = sum(name.endswith(".bin") and "-of-" in name for name in names)
    forms = {
        "safetensors": "model.safetensors" in names,
        f"safetensors in {shards} files": shards > 0,
        "pickled": "pytorch_model.bin" in names,
        f"pickled in {pickled_shards} files": pickled_shards > 0,
        "GGUF": any(name.endswith(".gguf") for name in names),
        "LoRA adapter": "adapter_config.json" in names,
    }
    method = f" ({quantization['quant_method']})" if "quant_method" in quantization else ""
    return " and ".join(name for name, is_there in forms.items() if is_there) + method


def gist(line: str, places: Sequence[Path]) -> str:
    """An error as the page shows it: of a path below one of ``places``, the file's name alone."""
    for place in places:
        line = re.sub(rf"{re.escape(str(place))}/(?:[^\s:,;()]*/)?", "", line)
    return re.sub(r"\blengthwise-[a-z0-9_]{8}\b", "the model's folder", line)
