"""The small text files of a repository: its card, chat template and generation config."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

_TEMPLATES = Path(__file__).parents[1] / "templates"

Part = Callable[[Path], None]


def write_readme(folder: Path, name: str, licence: str) -> None:
    front = f"---\nlicense: {licence}\nlibrary_name: transformers\n---\n"
    (folder / "README.md").write_text(f"{front}\n# {name.rpartition('/')[2]}\n", "utf-8")
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n")


def template_source(name: str) -> str:
    return (_TEMPLATES / f"{name}.jinja").read_text("utf-8").removesuffix("\n")


def template_file(name: str) -> Part:
    """The template as ``chat_template.jinja``."""
    return text_file("chat_template.jinja", lambda: template_source(name))


def text_file(file: str, content: Callable[[], str]) -> Part:
    def part(folder: Path) -> None:
        (folder / file).write_text(content(), "utf-8")

    return part


def template_field(name: str) -> Part:
    """The template in ``tokenizer_config.json``, which must exist."""
    return json_fields("tokenizer_config.json", lambda: {"chat_template": template_source(name)})


def template_list(*names: str) -> Part:
    """Named templates as a list in ``tokenizer_config.json``. The first is the default."""

    def fields() -> dict[str, Any]:
        called = ["default", *(name.rpartition("-")[2] for name in names[1:])]
        found = [{"name": n, "template": template_source(name)} for n, name in zip(called, names, strict=True)]
        return {"chat_template": found}

    return json_fields("tokenizer_config.json", fields)


def json_fields(file: str, fields: Callable[[], dict[str, Any]]) -> Part:
    """Adds fields to a JSON file, which need not exist."""

    def part(folder: Path) -> None:
        path = folder / file
        found = json.loads(path.read_text("utf-8")) if path.exists() else {}
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(found | fields(), indent=2, ensure_ascii=False), "utf-8")

    return part


def json_file(file: str, content: Any) -> Part:
    def part(folder: Path) -> None:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(json.dumps(content, indent=2, ensure_ascii=False), "utf-8")

    return part


def generation(**fields: Any) -> Part:
    return json_file("generation_config.json", fields | {"transformers_version": "4.44.0"})
