"""The values that are read from a model's small files, with their types. Files may hold any others beside them."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lengthwise.errors import ConfigurationError
from lengthwise.models import model_file, text_part

CONFIG, GENERATION, TOKENIZER = "config.json", "generation_config.json", "tokenizer_config.json"

#: Values of ``model_type`` whose positions are counted from the padding token's id plus one.
_PADDED_POSITIONS = frozenset(
    {
        *("camembert", "data2vec-text", "esm", "ibert", "longformer", "luke", "markuplm", "mpnet", "roberta"),
        *("roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod"),
    }
)
#: The padding token's id of these, if they do not name it. MPNet's is always this one.
_PADDING = 1
#: Where a model names the number of its positions.
_POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")

#: The longest text in a configuration. Errors of transformers quote some of them whole, and the log keeps these.
_MOST_CHARACTERS = 10_000

#: Tokenizers without a limit name one beyond this.
_NO_LIMIT = 1 << 31

_Length = Annotated[int, Field(ge=0, lt=1 << 31)]
#: -1 stands for no token in some published files.
_TokenId = Annotated[int, Field(ge=-1, lt=1 << 31)]
#: The length of a run of tokens that a model must not write. Each step compares it with what was written.
_RUN = 100
#: 1 changes nothing. Far from it, scores would leave the range of their type.
_Penalty = Annotated[float, Field(ge=0.01, le=100, allow_inf_nan=False)]


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class GenerationShape(_Shape):
    """What controls generation. It is in ``generation_config.json``, and in ``config.json`` for what that lacks."""

    bos_token_id: _TokenId | list[_TokenId] | None = None
    eos_token_id: _TokenId | list[_TokenId] | None = None
    pad_token_id: _TokenId | None = None
    decoder_start_token_id: _TokenId | list[_TokenId] | None = None
    suppress_tokens: list[_TokenId] | None = None
    bad_words_ids: list[Annotated[list[_TokenId], Field(max_length=_RUN)]] | None = None
    begin_suppress_tokens: list[_TokenId] | None = None
    forced_bos_token_id: _TokenId | None = None
    forced_eos_token_id: _TokenId | list[_TokenId] | None = None
    repetition_penalty: _Penalty | None = None
    no_repeat_ngram_size: Annotated[int, Field(ge=0, le=_RUN)] | None = None
    min_length: _Length | None = None
    min_new_tokens: _Length | None = None
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
    max_seq_len: _Length | None = None


class SentenceShape(_Shape):
    """What is read from ``sentence_bert_config.json`` of sentence-transformers."""

    #: The most tokens of an input, with what frames it.
    max_seq_length: _Length | None = None
    do_lower_case: bool | None = None


class _Token(_Shape):
    content: str


class TokenizerShape(_Shape):
    """What is read from ``tokenizer_config.json``: the template, and the special tokens that it names."""

    chat_template: Any = None
    #: The most tokens of an input. A number beyond all bounds stands for none, so its type is not checked.
    model_max_length: Any = None
    #: Whether transformers puts the end token behind a text, even if ``tokenizer.json`` does not.
    add_eos_token: Any = None
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
    """``config.json``, or that of the part for text if the model also reads images or sound (``text_part``).

    Raises ``ConfigurationError`` if it cannot be read, or a value has a wrong type.
    """
    found = model_file.read_json(folder, CONFIG, dict)
    _check_texts(found, CONFIG)
    found = text_part.config_of(found)
    model_file.checked(found, ConfigShape, CONFIG)
    return found


def positions(config: dict[str, Any]) -> int | None:
    """How many tokens the model can read, if its ``config.json`` says so. It may be less than one."""
    own: int | None = next((config[name] for name in _POSITIONS if config.get(name)), None)
    if own is None or config.get("model_type") not in _PADDED_POSITIONS:
        return own
    padding = _PADDING if config["model_type"] == "mpnet" else config.get("pad_token_id", _PADDING)
    return own - (padding or 0) - 1


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


def read_sentences(folder: Path) -> SentenceShape:
    """sentence-transformers' file about inputs; empty if there is none. Raises as ``read_config`` does.

    Newer ones leave the limit to the tokenizer.
    """
    name = next((name for name in model_file.SENTENCES if model_file.exists(folder, name)), None)
    found = model_file.checked(
        {} if name is None else model_file.read_json(folder, name, dict), SentenceShape, str(name)
    )
    if found.max_seq_length is not None or not model_file.exists(folder, model_file.MODULES):
        return found
    own = read_tokenizer(folder).model_max_length
    is_limit = isinstance(own, int) and 0 < own < _NO_LIMIT
    return found.model_copy(update={"max_seq_length": own if is_limit else None})


def read_tokenizer(folder: Path) -> TokenizerShape:
    """``tokenizer_config.json``, which may be missing. Raises ``ConfigurationError`` as ``read_config`` does."""
    if not model_file.exists(folder, TOKENIZER):
        return TokenizerShape()
    return model_file.checked(model_file.read_json(folder, TOKENIZER, dict), TokenizerShape, TOKENIZER)
