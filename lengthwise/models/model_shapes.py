"""The values that are read from a model's small files, with their types. Files may hold any others beside them."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lengthwise.errors import ConfigurationError
from lengthwise.models import model_file

CONFIG, GENERATION, TOKENIZER = "config.json", "generation_config.json", "tokenizer_config.json"

#: The longest text in a configuration. Errors of transformers quote some of them whole, and the log keeps these.
_MOST_CHARACTERS = 10_000

_Length = Annotated[int, Field(ge=0, lt=1 << 31)]
#: -1 stands for no token in some published files.
_TokenId = Annotated[int, Field(ge=-1, lt=1 << 31)]


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class GenerationShape(_Shape):
    """What controls generation. It is in ``generation_config.json``, and in ``config.json`` for what that lacks."""

    bos_token_id: _TokenId | list[_TokenId] | None = None
    eos_token_id: _TokenId | list[_TokenId] | None = None
    pad_token_id: _TokenId | None = None
    decoder_start_token_id: _TokenId | list[_TokenId] | None = None
    suppress_tokens: list[_TokenId] | None = None
    bad_words_ids: list[list[_TokenId]] | None = None
    length_penalty: Annotated[float, Field(allow_inf_nan=False)] | None = None
    early_stopping: bool | Literal["never"] | None = None
    renormalize_logits: bool | None = None


class ConfigShape(GenerationShape):
    """What is read from ``config.json``. Its labels are checked where they matter (``labels``)."""

    architectures: list[str] | None = None
    model_type: str | None = None
    is_encoder_decoder: bool | None = None
    max_position_embeddings: _Length | None = None
    n_positions: _Length | None = None


class _Token(_Shape):
    content: str


class TokenizerShape(_Shape):
    """What is read from ``tokenizer_config.json``: the template, and the special tokens that it names."""

    chat_template: Any = None
    bos_token: str | _Token | None = None
    eos_token: str | _Token | None = None
    unk_token: str | _Token | None = None
    sep_token: str | _Token | None = None
    pad_token: str | _Token | None = None
    cls_token: str | _Token | None = None
    mask_token: str | _Token | None = None

    def tokens(self) -> dict[str, str]:
        """The text of each special token by its name."""
        given = {name: getattr(self, name) for name in type(self).model_fields if name.endswith("_token")}
        texts = {name: token.content if isinstance(token, _Token) else token for name, token in given.items()}
        return {name: text for name, text in texts.items() if text}


class _NamedTemplate(_Shape):
    name: str
    template: str


def named_templates(found: Any) -> dict[str, str]:
    """A list of named templates, by their names; empty for anything else."""
    try:
        return {each.name: each.template for each in map(_NamedTemplate.model_validate, found or [])}
    except (ValidationError, TypeError):
        return {}


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json``. Raises ``ConfigurationError`` if it cannot be read, or a value has a wrong type."""
    found = model_file.read_json(folder, CONFIG, dict)
    _check_texts(found, CONFIG)
    model_file.checked(found, ConfigShape, CONFIG)
    return found


def _check_texts(found: dict[str, Any], name: str) -> None:
    """Raises ``ConfigurationError`` if a text in it is too long, at whatever depth."""
    waiting: list[Any] = [found]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and len(value) > _MOST_CHARACTERS:
            raise ConfigurationError(f"{name} has a text of more than {_MOST_CHARACTERS:,} characters")
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value


def read_generation(folder: Path) -> dict[str, Any]:
    """``generation_config.json``; empty if there is none. Raises ``ConfigurationError`` as ``read_config`` does."""
    if not model_file.exists(folder, GENERATION):
        return {}
    found = model_file.read_json(folder, GENERATION, dict)
    _check_texts(found, GENERATION)
    model_file.checked(found, GenerationShape, GENERATION)
    return found


def read_tokenizer(folder: Path) -> TokenizerShape:
    """``tokenizer_config.json``, which may be missing. Raises ``ConfigurationError`` as ``read_config`` does."""
    if not model_file.exists(folder, TOKENIZER):
        return TokenizerShape()
    return model_file.checked(model_file.read_json(folder, TOKENIZER, dict), TokenizerShape, TOKENIZER)
