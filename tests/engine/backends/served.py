"""A model specification whose model runs on the tests' completion server."""

import json
from pathlib import Path
from typing import Any

from lengthwise.models.catalog import ModelSpec
from tests.engine import tiny
from tests.engine.completions import MODEL, CompletionServer


def served(folder: Path, server: CompletionServer, **options: Any) -> ModelSpec:
    """The model's folder has no weights; ``options`` are those of its table ``server``."""
    folder.mkdir(exist_ok=True)
    config = {"max_position_embeddings": 128, "eos_token_id": tiny.END, "vocab_size": tiny.VOCABULARY}
    (folder / "config.json").write_text(json.dumps(config))
    tiny.write_tokenizer(folder)
    table = {"url": server.url, "model": MODEL, **options}
    return ModelSpec.from_table("served", {"path": folder, "engine": "openai", "server": table, "generate": {}})
