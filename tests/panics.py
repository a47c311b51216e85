"""A tokenizer whose library panics, as Rust does on some texts: its error is no ``Exception``."""

from typing import Any

import pytest

from lengthwise.models.tokenizer import ModelTokenizer


class PanicException(BaseException):
    """Like that of pyo3, which cannot be imported: it is made when the library is loaded."""

    __module__ = "pyo3_runtime"


class PanickingEncoder:
    """An encoder of the library that raises ``error``, which quotes the text, for any text that holds ``cause``."""

    def __init__(self, own: Any, cause: str, error: type[BaseException]) -> None:
        self._own, self._cause, self._error = own, cause, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def _check(self, *texts: str) -> None:
        for text in texts:
            if self._cause in text:
                raise self._error(f"byte index 1 is not a char boundary; it is inside {text!r}")

    def encode(self, text: str, **options: Any) -> Any:
        self._check(text)
        return self._own.encode(text, **options)

    def encode_batch(self, texts: list[str], **options: Any) -> Any:
        self._check(*texts)
        return self._own.encode_batch(texts, **options)

    def encode_batch_fast(self, texts: list[str], **options: Any) -> Any:
        self._check(*texts)
        return self._own.encode_batch_fast(texts, **options)


def panic_on(
    patch: pytest.MonkeyPatch, made: ModelTokenizer, cause: str, error: type[BaseException] = PanicException
) -> None:
    """Makes the tokenizer panic on texts that hold ``cause``, or raise another error."""
    for name in ("whole", "plain"):
        patch.setattr(made._encoders, name, PanickingEncoder(getattr(made._encoders, name), cause, error))
