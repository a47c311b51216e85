"""The models that this installation serves, as ``models.toml`` lists them.

Knows where a model's files are and what they are used for. Never loads weights.
"""

import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lengthwise.errors import ConfigurationError
from lengthwise.models import json_file
from lengthwise.models.fingerprint import fingerprint

#: The catalog that ships with the package: the two demo models.
DEMO_CATALOG = Path(__file__).parents[1] / "demo" / "models.toml"


#: Values of ``model_type`` whose positions are counted from the padding token's id plus one.
_PADDED_POSITIONS = frozenset({"camembert", "roberta", "xlm-roberta"})


class Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TranslateOptions(Table):
    """How a translation model is prompted."""

    #: (source, target) language pairs in ISO 639-1 codes, which jobs use.
    pairs: tuple[tuple[str, str], ...] = Field(min_length=1)
    #: The model's own names of these languages, if they differ, such as NLLB's ``zho_Hans``.
    codes: dict[str, str] = {}
    #: Special tokens before the text, and those with which the answer is forced to begin. ``{source}`` and ``{target}``
    #: stand for the model's names of the languages.
    source_prefix: str = ""
    target_prefix: str = ""
    #: What the model was trained on. With ``sentence`` a text is translated sentence by sentence, with ``text`` whole.
    unit: Literal["sentence", "text"] = "sentence"
    #: ``copy``: the model was trained to copy U+E000, U+E001, … unchanged. ``split``: texts are translated in pieces
    #: between the placeholders.
    placeholders: Literal["copy", "split"] = "split"

    @field_validator("source_prefix", "target_prefix")
    @classmethod
    def _holds_languages(cls, value: str) -> str:
        try:
            value.format(source="", target="")
        except (LookupError, ValueError, AttributeError):
            raise ValueError("may hold {source} and {target}, and no other braces") from None
        return value


class ModerateOptions(Table):
    #: A category is true at this probability or above.
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    #: Labels that say that nothing is wrong. They are not categories.
    harmless: tuple[str, ...] = ()


class ChatOptions(Table):
    """The chat template is the model's own (``chat_template.jinja`` or ``tokenizer_config.json``)."""


class GenerateOptions(Table):
    #: Special tokens before the prompt.
    prefix: str = ""


class ServerOptions(Table):
    """A server with OpenAI's completions API, for the engine ``openai``."""

    #: What comes before ``/completions``, such as ``http://gpu:8000/v1``.
    url: str
    #: The model's name there.
    model: str = Field(min_length=1)
    #: The environment variable that holds the server's key. The key itself does not belong in a file.
    key_variable: str | None = None
    #: ``tokens``: prompts are sent as token ids (vLLM, SGLang, llama.cpp). ``text``: for servers that take only text.
    prompt: Literal["tokens", "text"] = "tokens"
    #: Whether the server returns an answer's token ids if ``return_token_ids`` is set (vLLM).
    returns_token_ids: bool = False
    #: How long one answer may take, in seconds.
    timeout_seconds: Annotated[float, Field(gt=0)] = 90
    #: Concurrent requests of one worker, at most.
    max_concurrency: Annotated[int, Field(ge=1)] = 64

    @field_validator("url")
    @classmethod
    def _is_base(cls, value: str) -> str:
        """Checks the URL. Errors do not repeat it: a password that was written there must not reach a log."""
        try:
            parts = urlsplit(value)
            is_base = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            is_base = is_base and not parts.query and not parts.fragment
        except ValueError:
            is_base = False
        if not is_base:
            raise ValueError("must be an http or https URL without query")
        if parts.username is not None:
            raise ValueError("must hold no user or password: name a variable with key_variable")
        return value


class EmbedOptions(Table):
    #: What is put before each text. A job chooses one by its name (``query``, ``passage``); the first is the default.
    prefix: dict[str, str] = {}


class ModelSpec(Table):
    """One model: where it is, how it runs, and the kinds of job that it serves, with a table for each kind."""

    name: str
    #: Either a folder, relative to ``models.toml``, or a hub id whose revision is in the local hub cache.
    path: Path | None = None
    hub: str | None = None
    #: The revision on the hub. For a ``path`` it is any name that the operator gives this version.
    revision: str | None = None
    engine: str = "torch"
    #: ``int8``: weights and activations are quantized per row. ``none``: exact fp32. ``bf16``: bfloat16 weights and
    #: sums.
    quantization: Literal["int8", "bf16", "none"] = "int8"
    device: str = "auto"
    #: Input tokens in one engine batch, at most, including padding if the engine pads. Choose what fits the device.
    batch_tokens: Annotated[int, Field(ge=1)] = 4096
    #: Sequences in one engine batch, at most.
    batch_rows: Annotated[int, Field(ge=1)] = 64
    #: The longest input in tokens, if it should be less than the model's own limit.
    max_input_tokens: Annotated[int, Field(ge=1)] | None = None
    max_new_tokens: Annotated[int, Field(ge=1)] = 512
    server: ServerOptions | None = None

    translate: TranslateOptions | None = None
    moderate: ModerateOptions | None = None
    chat: ChatOptions | None = None
    generate: GenerateOptions | None = None
    embed: EmbedOptions | None = None

    @model_validator(mode="after")
    def _names_one_place(self) -> Self:
        if (self.path is None) == (self.hub is None):
            raise ValueError("name either path or hub")
        if self.hub is not None and self.revision is None:
            raise ValueError("hub needs a revision")
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        names = ("translate", "moderate", "chat", "generate", "embed")
        return tuple(kind for kind in names if getattr(self, kind) is not None)

    @cached_property
    def folder(self) -> Path:
        """The folder of the model's files. Nothing is downloaded: raises ``ConfigurationError`` if it is missing."""
        if self.path is not None:
            if not self.path.is_dir():
                raise ConfigurationError(f"model {self.name}: the folder {self.path} does not exist")
            return self.path
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            return Path(snapshot_download(str(self.hub), revision=self.revision, local_files_only=True))
        except LocalEntryNotFoundError:
            raise ConfigurationError(
                f"model {self.name} is not on this machine; fetch it: hf download {self.hub} --revision {self.revision}"
            ) from None

    @cached_property
    def made_by(self) -> str:
        """The revision that results name. For a hub model it is the commit, which never moves as a branch or a tag may.
        For a path it is ``revision``, or else the folder's fingerprint.

        Raises ``ConfigurationError`` if the files are missing.
        """
        if self.hub is not None:
            return self.folder.name
        return self.revision or fingerprint(self.folder)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The model's own ``config.json``."""
        try:
            return json_file.read_json(self.folder / "config.json", dict)
        except ConfigurationError as error:
            raise ConfigurationError(f"model {self.name}: {error}") from None

    @property
    def context(self) -> int:
        """The longest input in tokens."""
        own = int(self.config.get("max_position_embeddings") or self.config.get("n_positions") or 512)
        if self.config.get("model_type") in _PADDED_POSITIONS:
            own -= int(self.config.get("pad_token_id") or 0) + 1
        return min(own, self.max_input_tokens or own)


class Catalog:
    """The models by name, in the file's order. The first one that serves a job is its default."""

    def __init__(self, models: dict[str, ModelSpec]) -> None:
        self.models = models

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads ``models.toml``. Raises ``ConfigurationError``, which names the first mistake in it."""
        try:
            tables = tomllib.loads(path.read_text("utf-8")).get("models", {})
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigurationError(f"{path}: {error}") from None
        if not isinstance(tables, dict):
            raise ConfigurationError(f"{path}: models is not a table")
        if not tables:
            raise ConfigurationError(f"{path} names no model: add a [models.NAME] table")
        return cls({name: _spec(name, table, path) for name, table in tables.items()})

    def serving(self, kind: str) -> list[ModelSpec]:
        """The models that serve this kind."""
        return [spec for spec in self.models.values() if kind in spec.kinds]


def _spec(name: str, table: Any, path: Path) -> ModelSpec:
    if not isinstance(table, dict) or "name" in table:
        raise ConfigurationError(f"{path}: models.{name}: must be a table, whose name is its key")
    try:
        spec = ModelSpec(name=name, **table)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("models", name, *first["loc"]))
        raise ConfigurationError(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}") from None
    return spec if spec.path is None else spec.model_copy(update={"path": path.parent / spec.path})
