"""The body of a line: the fields of OpenAI's API that are supported here, and clear errors for those that are not.

An unsupported field is refused by its name, never ignored. It is accepted if its value changes nothing: ``n`` of 1,
a penalty of 0, any null.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from lengthwise.kinds.kind import Decoding, RequestPart, StrictModel, Text, unknown_field
from lengthwise.kinds.sampling import RepetitionPenalty
from lengthwise.models.catalog import ModelSpec

#: Fields about the caller or its account. They change no answer, and are ignored.
_CALLER_FIELDS = frozenset(
    {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}
)


class LineBody(StrictModel):
    """``neutral`` lists unsupported fields of OpenAI's API, each with the values that change nothing."""

    neutral: ClassVar[dict[str, tuple[Any, ...]]] = {}

    model: Annotated[Text, Field(min_length=1, max_length=200)]

    @model_validator(mode="before")
    @classmethod
    def _has_supported_fields(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        kept = {}
        for name, given in value.items():
            if name in cls.model_fields:
                if given is not None:
                    kept[name] = given
            elif name in cls.neutral:
                if not _is_one_of(given, cls.neutral[name]):
                    raise unsupported(name, _allowed(cls.neutral[name]))
            elif name not in _CALLER_FIELDS:
                raise ValueError(unknown_field(cls.model_fields))
        return kept

    def texts(self) -> list[str]:
        """The texts that the model reads."""
        raise NotImplementedError


def unsupported(name: str, why: str) -> PydanticCustomError:
    """The error for an unsupported field of OpenAI's API."""
    return PydanticCustomError("unsupported", "{field} {why}", {"field": name, "why": why})


def _is_one_of(given: Any, values: tuple[Any, ...]) -> bool:
    return given is None or any(type(given) is not bool or type(each) is bool for each in values if given == each)


def _allowed(values: tuple[Any, ...]) -> str:
    shown = [str(value).lower() if isinstance(value, bool) else repr(value) for value in values]
    return f"is supported as {' or '.join(shown)} alone" if shown else "is not supported here"


class TextPart(RequestPart):
    type: Literal["text", "input_text", "output_text"]
    text: Text


#: A text, or parts of type text.
Content = Text | Annotated[list[TextPart], Field(min_length=1, max_length=256)]


def text_of(content: str | list[TextPart]) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content)


class SampledBody(LineBody):
    """A body whose answer is text."""

    temperature: float = Field(default=0.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0, lt=2**31)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    repetition_penalty: RepetitionPenalty | None = None

    def limit(self) -> int | None:
        """The longest answer that the body allows, in tokens."""
        return None

    def stops(self) -> list[str]:
        return []

    def decoding(self, spec: ModelSpec, seed: int) -> Decoding:
        """``seed`` is used if the body names none."""
        return Decoding(
            max_new_tokens=token_limit(spec, self.limit()),
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            seed=(seed if self.seed is None else self.seed) % 2**31,
            stop=tuple(self.stops()),
            repetition_penalty=self.repetition_penalty,
        )


def token_limit(spec: ModelSpec, limit: int | None) -> int:
    return min(limit or spec.max_new_tokens, spec.max_new_tokens)


_Stop = Annotated[Text, Field(min_length=1, max_length=64)]
#: One string or up to four.
Stop = _Stop | Annotated[list[_Stop], Field(max_length=4)]


def as_list(stop: str | list[str] | None) -> list[str]:
    return [stop] if isinstance(stop, str) else stop or []
