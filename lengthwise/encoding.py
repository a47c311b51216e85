"""What bytes are that should be UTF-8 and are not, for an error that says so. Nothing here repeats the bytes."""

import codecs

#: The byte order mark of UTF-8. Excel, Notepad and PowerShell write it at the start of a file.
MARK = codecs.BOM_UTF8

#: Bytes of a text that are looked at, at most.
_LOOK_BYTES = 2**16
#: The order matters: the mark of UTF-32 begins with that of UTF-16.
_SIGNATURES = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"PK\x05\x06": "a ZIP archive",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an Excel workbook or another Office document",
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow",
    b"%PDF-": "PDF",
}
#: From this share of control bytes on, a text with zero bytes is UTF-16. Half of the bytes of ASCII are zero there, and
#: nearly half of those of Cyrillic are 4.
_MANY_CONTROLS = 0.25
_CONTROLS = bytes(set(range(0x20)) - set(b"\n\r"))


def name_of(data: bytes) -> str | None:
    """The name of what these bytes are, such as ``UTF-16``, ``gzip`` or ``Windows-1252 or Latin-1``.

    None if they are UTF-8, with or without a mark; a character that is cut off at the end does not count. The start of
    a file is enough: a few thousand bytes.
    """
    return signature(data) or _legacy(data)


def signature(start: bytes) -> str | None:
    """As ``name_of``, if the first bytes leave no doubt: compressed data, another format, UTF-16 or UTF-32."""
    named = next((name for begin, name in _SIGNATURES.items() if start.startswith(begin)), None)
    return named or _wide(start[:_LOOK_BYTES])


def _wide(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark. No text in UTF-8 has zero bytes."""
    if 0 not in data:
        return None
    if _is_utf_32(data):
        return "UTF-32"
    # A zero byte may be half of an ideographic space. Where the text has few control bytes, it must not read as UTF-8.
    n_controls = len(data) - len(data.translate(None, _CONTROLS))
    is_wide = n_controls >= _MANY_CONTROLS * len(data) or _first_wrong(data) is not None
    return "UTF-16" if is_wide and any(_decodes(data, name) for name in ("utf-16-le", "utf-16-be")) else None


def _is_utf_32(data: bytes) -> bool:
    """Of the four bytes of a character, the highest is zero. Text has characters of the planes 0 to 3."""
    for highest, next_byte in ((3, 2), (0, 1)):
        if len(data) >= 4 and any(data) and not any(data[highest::4]) and max(data[next_byte::4]) <= 3:
            return True
    return False


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(data)
    except UnicodeDecodeError:
        return False
    return "\0" not in text


def _first_wrong(data: bytes) -> int | None:
    """The position of the first byte that UTF-8 cannot have there."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError as error:
        return error.start
    return None


def _legacy(data: bytes) -> str | None:
    """In Western encodings of one byte a character, most bytes outside of ASCII are letters that stand alone in it."""
    start = _first_wrong(data)
    if start is None:
        return None
    runs = data[start : start + _LOOK_BYTES].translate(_BLANK_ASCII).split()
    n_western = sum(len(run) == 1 and run in _WESTERN for run in runs)
    return "Windows-1252 or Latin-1" if 2 * n_western > len(runs) else "in another encoding than UTF-8"


_BLANK_ASCII = b" " * 0x80 + bytes(range(0x80, 0x100))
#: The letters of Windows-1252 and its usual signs: € … ‘ ’ “ ” • – — £ § © « ® ° ´ » ¿ and the no-break space.
_WESTERN = bytes(range(0xC0, 0x100)) + b"\x80\x85\x91\x92\x93\x94\x95\x96\x97\xa0\xa3\xa7\xa9\xab\xae\xb0\xb4\xbb\xbf"
