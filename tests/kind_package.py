"""A package that offers a kind of job, as somebody outside of this repository would write it."""

from pathlib import Path

SING = '''
"""Singing: a text becomes upper case."""

from lengthwise.kinds.kind import JobParams, Prompt, TextItem
from lengthwise.kinds.native import CommandOption, NativeKind
from lengthwise.models.kind_options import KindOptions


class SingOptions(KindOptions):
    mark: str = "!"


class SingParams(JobParams):
    mood: str | None = None


class SingItem(TextItem):
    pass


class SingKind(NativeKind):
    name = "sing"
    params_type = SingParams
    item_type = SingItem
    options_type = SingOptions
    summary = "says a text in upper case"
    example = {"mood": "glad", "items": ["hello"]}
    command_options = (CommandOption("--mood", "mood", "what stands behind each text."),)

    def prompts(self, model, params, items, attempt):
        encoded = model.tokenizer.encode([item.text for item in items])
        return [[Prompt(ids, model.spec.max_new_tokens)] for ids in encoded]

    def output(self, model, params, item, answers, attempt):
        mark = model.spec.options_of(self.name, SingOptions()).mark
        return {"text": answers[0].text.upper() + mark + (params.mood or "")}

    def warnings(self, model, params, item, output, answers):
        return ("loud",) if item.text.isupper() else super().warnings(model, params, item, output, answers)
'''


def write_kind(folder: Path, source: str = SING, *, name: str = "sing", package: str = "singing") -> Path:
    """Writes a module ``PACKAGE`` and what an installer leaves beside it: an entry point to its ``SingKind``.

    ``folder`` is then to be put on the search path.
    """
    metadata = folder / f"{package}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / f"{package}.py").write_text(source)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[lengthwise.kinds]\n{name} = {package}:SingKind\n")
    return folder
