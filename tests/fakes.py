"""Real implementations of our protocols that tests can reason about."""

import json
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

END = "</s>"


def write_echo_model(folder: Path, context: int = 512) -> Path:
    """A model folder for the engine ``echo``: a token a character, so that lengths can be counted by eye."""
    folder.mkdir(parents=True, exist_ok=True)
    alphabet = [chr(code) for code in (*range(0x20, 0x7F), *range(0xE000, 0xE008))] + list("我吃了一个苹果。你好")
    vocabulary = {token: index for index, token in enumerate(["<unk>", END, ">>en<<", ">>de<<", *alphabet])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("(?m:.)"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([END, ">>en<<", ">>de<<", "<unk>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"eos_token_id": 1, "max_position_embeddings": context}))
    return folder


CATALOG = """
[models.echo]
path = "echo"
engine = "echo"
batch_tokens = 4096
batch_rows = 64
max_new_tokens = 512
[models.echo.translate]
pairs = [["zh", "en"], ["en", "de"]]
source_prefix = ">>{target}<<"
placeholders = "copy"
[models.echo.generate]
"""


def write_catalog(folder: Path, context: int = 512) -> Path:
    """A ``models.toml`` of one echoing model that serves translate and generate."""
    write_echo_model(folder / "echo", context)
    path = folder / "models.toml"
    path.write_text(CATALOG)
    return path
