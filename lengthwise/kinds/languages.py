"""Finds out between which languages a translation model translates, from its name, its tokens and its config.

Jobs name languages as BCP 47 does (``zh``, ``zh-Hant``); models have names of their own (``zho_Hans``, ``__zh__``).
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from langcodes import Language

#: Beyond so many pairs, only those with English are proposed.
_MOST_PAIRS = 600
_ENGLISH = "en"
_MARIAN_NAME = re.compile(r"opus-mt-(?:tc-(?:base|big|small|tiny)-)?([\w]+?)[-_]([\w]+)$", re.ASCII)


class _Form(NamedTuple):
    """How the tokens of a family name languages, and where they stand."""

    token: re.Pattern[str]
    source_prefix: str = ""
    target_prefix: str = ""
    #: For tokens that are ordinary pieces of the vocabulary.
    text_prefix: str = ""


_NLLB = _Form(re.compile(r"([a-z]{3}_[A-Z][a-z]{3})"), "{source}", "{target}")
_M2M = _Form(re.compile(r"__([a-z]{2,3})__"), "__{source}__", "__{target}__")
_MBART = _Form(re.compile(r"([a-z]{2}_[A-Z]{2})"), "{source}", "{target}")
_MADLAD = _Form(re.compile(r"<2([a-z]{2,3}(?:_[A-Z][a-z]{3})?(?:_[A-Z]{2})?)>"), text_prefix="<2{target}> ")
_MARIAN = _Form(re.compile(r">>([a-zA-Z]{2,3}(?:_[A-Z][a-z]{3})?)<<"), ">>{target}<<", "")


def proposed(name: str, config: Mapping[str, Any], tokens: Collection[str]) -> dict[str, Any] | None:
    """The table ``translate`` for a model; None if it says nothing of languages.

    ``name``: the last part of its hub id, or its folder's name. ``tokens``: its vocabulary.
    """
    match config.get("model_type"):
        case "marian":
            return _marian(name, tokens)
        case "m2m_100":
            return _among(_NLLB, tokens) or _among(_M2M, tokens)
        case "mbart":
            return _among(_MBART, tokens)
        case "t5" | "mt5":
            return _prompted(config) or _from_any(_MADLAD, tokens)
        case _:
            return None


def _marian(name: str, tokens: Collection[str]) -> dict[str, Any] | None:
    found = _MARIAN_NAME.search(name)
    if found is None:
        return None
    source, target = found[1], found[2]
    codes = _codes(_named(_MARIAN, tokens))
    if codes:
        sources = [code for code in _of_group(source) if code]
        pairs = [(each, code) for each in sources for code in codes if each != code]
        return _table(pairs, codes, _MARIAN) if pairs else None
    pair = (_code(source), _code(target))
    return None if None in pair else {"pairs": [list(pair)]}


def _of_group(name: str) -> list[str | None]:
    """The languages of a part of an opus-mt name, such as ``en`` or ``deu_eng``; none if it names a whole family."""
    return [_code(each) for each in name.split("_")]


def _among(form: _Form, tokens: Collection[str]) -> dict[str, Any] | None:
    codes = _codes(_named(form, tokens))
    pairs = [(source, target) for source in codes for target in codes if source != target]
    if len(pairs) > _MOST_PAIRS:
        pairs = [pair for pair in pairs if _ENGLISH in pair]
    return _table(pairs, codes, form) if pairs else None


def _from_any(form: _Form, tokens: Collection[str]) -> dict[str, Any] | None:
    """Only the target is told to the model. English is proposed as the source, and the other way round."""
    found = _among(form, tokens)
    if found is None:
        return None
    pairs = [pair for pair in found["pairs"] if _ENGLISH in pair]
    return found | {"pairs": pairs} if pairs else None


def _prompted(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The tasks that the first T5 models name in their config, such as ``translate English to German: ``."""
    tasks = config.get("task_specific_params")
    pairs: list[list[str]] = []
    codes: dict[str, str] = {}
    for task, given in tasks.items() if isinstance(tasks, dict) else ():
        pair = re.fullmatch(r"translation_([a-z]{2})_to_([a-z]{2})", task)
        names = re.fullmatch(r"translate (\w+) to (\w+): ", str(given.get("prefix")) if isinstance(given, dict) else "")
        if pair and names:
            pairs.append([pair[1], pair[2]])
            codes |= {pair[1]: names[1], pair[2]: names[2]}
    return {"pairs": pairs, "codes": codes, "text_prefix": "translate {source} to {target}: "} if pairs else None


def _table(pairs: Sequence[tuple[str, str]], codes: Mapping[str, str], form: _Form) -> dict[str, Any]:
    used = dict.fromkeys(code for pair in pairs for code in pair)
    given = form._asdict() | {"token": ""}
    return {
        "pairs": [list(pair) for pair in pairs],
        "codes": {code: codes[code] for code in used if codes.get(code, code) != code},
    } | {name: prefix for name, prefix in given.items() if prefix}


def _named(form: _Form, tokens: Iterable[str]) -> list[str]:
    """The model's own names of languages, in alphabetical order."""
    return sorted(found[1] for token in tokens if (found := form.token.fullmatch(token)))


def _codes(names: Iterable[str]) -> dict[str, str]:
    """The model's names by the codes that jobs use. Where a language has several scripts, its usual one has no suffix.

    Names that are no language's are left out.
    """
    found: dict[str, str] = {}
    for name in names:
        tag = _tag(name)
        if tag is None:
            continue
        script = tag.script if tag.script and tag.script != Language.get(str(tag.language)).maximize().script else None
        code = f"{tag.language}-{script}" if script else str(tag.language)
        found.setdefault(code, name)
    return found


def _code(name: str) -> str | None:
    tag = _tag(name)
    return None if tag is None else str(tag.language)


def _tag(name: str) -> Language | None:
    try:
        tag = Language.get(name).prefer_macrolanguage()
    except ValueError:  # it has not the form of a tag
        return None
    return tag if tag.is_valid() and tag.language not in (None, "mul", "und") else None
