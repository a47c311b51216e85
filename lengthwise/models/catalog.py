"""The models that this installation serves, as ``models.toml`` lists them.

Knows where a model's files are and what they are used for. Never loads weights.
"""

import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SerializeAsAny, ValidationError, field_validator, model_validator

from lengthwise import entry_points
from lengthwise.errors import ConfigurationError
from lengthwise.models import hub_cache, model_shapes
from lengthwise.models.fingerprint import fingerprint
from lengthwise.models.kind_options import KindOptions, Table

#: The catalog that ships with the package: the two demo models.
DEMO_CATALOG = Path(__file__).parents[1] / "demo" / "models.toml"

#: The longest input of a model that names no limit, such as Mamba, if its table names none either.
_USUAL_CONTEXT = 512

Options = TypeVar("Options", bound=KindOptions)


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

    #: By kind, in the order of the file: every table of the model that is none of its settings.
    kind_options: dict[str, SerializeAsAny[KindOptions]] = Field(default={})

    @classmethod
    def from_table(cls, name: str, table: Mapping[str, Any]) -> Self:
        """Reads the table ``[models.NAME]``. Raises ``ConfigurationError`` with the place of the first error in it."""
        place = f"models.{name}"
        settings = {key: value for key, value in table.items() if key in SETTINGS}
        options = {kind: _options(kind, table[kind], f"{place}.{kind}") for kind in table if kind not in SETTINGS}
        with _errors_at(place):
            return cls(name=name, kind_options=options, **settings)

    @model_validator(mode="after")
    def _names_one_place(self) -> Self:
        if (self.path is None) == (self.hub is None):
            raise ValueError("name either path or hub")
        if self.hub is not None and self.revision is None:
            raise ValueError("hub needs a revision")
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of job that it serves."""
        return tuple(self.kind_options)

    def options_of(self, kind: str, otherwise: Options) -> Options:
        """The table of this kind, or ``otherwise`` if the model has none."""
        found = self.kind_options.get(kind)
        return found if isinstance(found, type(otherwise)) else otherwise

    @cached_property
    def folder(self) -> Path:
        """The folder of the model's files. Nothing is downloaded: raises ``ConfigurationError`` if it is missing."""
        if self.path is not None:
            if not self.path.is_dir():
                raise ConfigurationError(f"model {self.name}: the folder {self.path} does not exist")
            return self.path
        found = hub_cache.folder(str(self.hub), self.revision)
        if found is None:
            fetch = f"fetch it: hf download {self.hub} --revision {self.revision}"
            raise ConfigurationError(f"model {self.name} is not on this machine; {fetch}")
        return found

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
            return model_shapes.read_config(self.folder)
        except ConfigurationError as error:
            raise ConfigurationError(f"model {self.name}: {error}") from None

    def fixed(self) -> Self:
        """A copy that keeps what the model's files say now, for an engine that goes on whatever becomes of them.

        Raises ``ConfigurationError`` if they cannot be read.
        """
        copy = self.model_copy()
        _ = copy.made_by, copy.context  # which read them
        return copy

    def forget(self) -> None:
        """Forgets what it read of the model's files, so that it reads them again: they may have been mended.

        A branch of the hub stays at its snapshot.
        """
        has_folder = "folder" in self.__dict__ and self.folder.is_dir()
        for name in ("made_by", "config", "sentences", *(() if has_folder else ("folder",))):
            self.__dict__.pop(name, None)

    @cached_property
    def sentences(self) -> model_shapes.SentenceShape:
        """What sentence-transformers' files say about the model's inputs."""
        folder = self.folder
        try:
            return model_shapes.read_sentences(folder)
        except ConfigurationError as error:
            raise ConfigurationError(f"model {self.name}: {error}") from None

    @property
    def context(self) -> int:
        """The longest input in tokens. Raises ``ConfigurationError`` if the model's files cannot be read."""
        named = (model_shapes.positions(self.config), self.sentences.max_seq_length)
        limits = [limit for limit in named if limit is not None] or [self.max_input_tokens or _USUAL_CONTEXT]
        own = min(limits)
        if own < 1:
            raise ConfigurationError(f"model {self.name}: its config.json leaves no room for inputs")
        return min(own, self.max_input_tokens or own)


#: What a model's table says beside the tables of kinds: no kind can have such a name.
SETTINGS = ModelSpec.model_fields.keys() - {"name", "kind_options"}


class Catalog:
    """The models by name, in the file's order. The first one that serves a job is its default."""

    def __init__(self, models: dict[str, ModelSpec]) -> None:
        self.models = models

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads ``models.toml``. Raises ``ConfigurationError``, which names the first mistake in it."""
        try:
            if stat.S_IFMT(path.stat().st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
                raise ConfigurationError(f"{path} is no file")  # reading a pipe or a device would never end
            tables = tomllib.loads(path.read_text("utf-8")).get("models", {})
        except FileNotFoundError:
            remedy = "name it in LENGTHWISE_MODELS, or write it: lengthwise model add NAME"
            raise ConfigurationError(f"{path} does not exist: {remedy}") from None
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read ({os.strerror(error.errno or 0)})") from None
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
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
        spec = ModelSpec.from_table(name, table)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error.__cause__
    return spec if spec.path is None else spec.model_copy(update={"path": path.parent / spec.path})


def _options(kind: str, table: Any, place: str) -> KindOptions:
    """Raises ``ConfigurationError`` if there is no such kind, if it cannot be loaded, or if its table is wrong."""
    if kind not in entry_points.names(entry_points.KINDS):
        kinds = ", ".join(entry_points.names(entry_points.KINDS)) or "none: is lengthwise installed?"
        raise ConfigurationError(f"{place}: is no setting of a model and no table of a kind; kinds: {kinds}")
    if not isinstance(table, dict):
        raise ConfigurationError(f"{place}: must be a table")
    try:
        options_type = entry_points.load(entry_points.KINDS, kind).options_type
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {error}") from error.__cause__
    with _errors_at(place):
        options: KindOptions = options_type.model_validate(table)
    return options


@contextmanager
def _errors_at(place: str) -> Iterator[None]:
    """Turns pydantic's first error into a ``ConfigurationError`` that says where it is."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([place, *map(str, first["loc"])])
        raise ConfigurationError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None
