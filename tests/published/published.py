"""What a repository of the fixture is: its name, what writes it, and what is expected of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: Writes a part of a repository into its folder.
Part = Callable[[Path], None]

WRITES = ("chat", "generate")
CONTINUES = ("generate",)
TRANSLATES = ("translate",)
EMBEDS = ("embed",)
MODERATES = ("moderate",)


@dataclass(frozen=True)
class Direction:
    """Two languages under a translation model's own names, and how it is told them.

    ``text_prefix`` is text before each text. ``needs_codes``: the tokenizer takes ``source`` and ``target`` as its
    languages, and the answer begins with the target's token.
    """

    source: str
    target: str
    text_prefix: str = ""
    needs_codes: bool = False
    #: Which of ``texts.INPUTS`` are in the source language.
    inputs: str = "en"


@dataclass(frozen=True)
class Published:
    """A public repository.

    ``kinds``: what it should serve once it is added; none if it must be refused, and then ``refused_for`` says what the
    refusal has to be about. ``parts`` write its files, in this order.
    """

    name: str
    licence: str
    kinds: tuple[str, ...]
    parts: tuple[Part, ...]
    refused_for: str = ""
    direction: Direction | None = None
    #: The repository that it needs beside it, such as an adapter's model.
    base: str | None = None
    #: The GGUF file that is to be taken, if there are such files.
    gguf: str | None = None
    #: Whether transformers loads it with what the tests install.
    loads: bool = True
    is_gated: bool = False
