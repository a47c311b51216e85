"""What the kinds of native jobs have in common. A new kind is a subclass of ``NativeKind``."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, ClassVar, NamedTuple

from lengthwise.errors import InvalidInput
from lengthwise.kinds import result_line
from lengthwise.kinds.kind import Decoding, JobItem, JobParams, KindModel, ModelAnswer, Prompt, unknown
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.kind_options import AnswerForm, KindOptions
from lengthwise.result_field import FieldPath


class CommandOption(NamedTuple):
    """An option of ``lengthwise submit`` that sets one of the kind's parameters, such as --to for ``target``."""

    flag: str
    param: str
    help: str


class NativeKind(ABC):
    """A kind of ``POST /v1/jobs``: ``lengthwise.kinds.kind.Kind``, and what the API and the command line show of it.

    In a request the fields of ``params_type`` are beside those of every job. So they need other names than
    ``kind``, ``model``, ``priority`` and the rest of ``api.jobs.schema.JobHeader``.
    """

    name: ClassVar[str]
    params_type: ClassVar[type[JobParams]] = JobParams
    item_type: ClassVar[type[JobItem]]
    #: The table of ``models.toml`` by which a model serves this kind, ``[models.MODEL.KIND]``.
    options_type: ClassVar[type[KindOptions]] = KindOptions
    #: One line for the command line's help.
    summary: ClassVar[str]
    #: A job for the API's documentation, without ``kind``. Its ``items`` show how items look.
    example: ClassVar[dict[str, Any]]
    #: ``model prepare`` uses this kind for models of this architecture (of ``worker.engine.protocol.Architecture``), if
    #: ``models.toml`` does not say what they serve.
    usual_architecture: ClassVar[str | None] = None
    #: Parameters with an option of their own. All others are set by --param.
    command_options: ClassVar[tuple[CommandOption, ...]] = ()

    #: All items of a native job are decoded alike: they are in one pool.
    decodes_per_item: ClassVar[bool] = False
    max_attempts: ClassVar[int] = 1
    exhausted_error: ClassVar[str] = "engine_error"

    succeeded = staticmethod(result_line.succeeded)
    failed = staticmethod(result_line.failed)

    def serves(self, spec: ModelSpec, params: Any) -> bool:
        return True

    def unserved_error(self, specs: Sequence[ModelSpec]) -> InvalidInput:
        return unknown("model for this kind", [], "kind")

    def check(self, spec: ModelSpec, params: Any, item: Any) -> None:
        """Accepts every item."""
        return

    def decoding(self, spec: ModelSpec, params: Any, item: Any, attempt: int) -> Decoding:
        """Greedy, as long as the model may write; nothing if the answers are not text."""
        is_written = self.options_type.answer_form is AnswerForm.TEXT
        return Decoding(max_new_tokens=spec.max_new_tokens if is_written else 0)

    @abstractmethod
    def prompts(self, model: KindModel, params: Any, items: Sequence[Any], attempt: int) -> list[list[Prompt]]: ...

    @abstractmethod
    def output(
        self, model: KindModel, params: Any, item: Any, answers: Sequence[ModelAnswer], attempt: int
    ) -> dict[str, Any] | None: ...

    def warnings(
        self, model: KindModel, params: Any, item: Any, output: dict[str, Any], answers: Sequence[ModelAnswer]
    ) -> Sequence[str]:
        """Only that the item is blank."""
        texts = item.texts()
        for text in texts:
            if text and not text.isspace():
                return ()
        return ("blank",) if texts else ()

    def output_fields(self, specs: Sequence[ModelSpec]) -> Collection[FieldPath] | None:
        """The fields of the outputs of these models, of which filters of webhooks may name each.

        None if they are not declared: then a filter may name any.
        """
        return None

    def label_threshold(self, spec: ModelSpec, params: Any) -> float:
        """The probability from which a label counts, if the answers are labels."""
        return 0.5
