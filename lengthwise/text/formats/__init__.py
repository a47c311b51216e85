"""Reads a text to translate by its format: what is translated together, and what is kept between and within.

    text_format       the formats, and which one a text seems to have
    plain             a text line by line
    html              HTML, with its elements (``element``) and those that are open (``open_element``)
    markdown          Markdown's blocks, with the inside of a paragraph (``markdown_inline``)
    used by these:
      document          makes passages: cuts off blanks and list markers, keeps what has no letter
      visible           the words as a model reads them, without what nobody sees
      spelling          writes a translation in the source's format, so that nothing in it becomes markup
      message           finds messages with branches, which may have several lines
      escaped           finds tags that a text shows to its readers

Pure. Knows nothing of languages, placeholders or models, and expects a text in NFC without control characters; any
other text is still read without losing a character.
"""

from lengthwise.text.formats import html, markdown, plain
from lengthwise.text.formats.text_format import TextFormat, guess
from lengthwise.text.part import Document

__all__ = ["TextFormat", "guess", "read"]

_READERS = {TextFormat.TEXT: plain.read, TextFormat.HTML: html.read, TextFormat.MARKDOWN: markdown.read}


def read(text: str, format: TextFormat) -> Document:  # noqa: A002
    """``text`` in passages to translate and what is kept between them. Joined, their ``raw`` is ``text``.

    Every text can be read in every format. No passage begins or ends with a blank, and each has a letter.
    """
    return _READERS[format](text)
