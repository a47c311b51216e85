"""Placeholders that one character announces: ``$name``, ``#{name}``, ``:name``, ``@name``, ``--option``, ``\\n``."""

from lengthwise.text.convention import Convention
from lengthwise.text.protection.rule import Rule

#: Chinese, Japanese and Korean words stand beside a placeholder without a blank, others do not.
_NOT_IN_WORD = r"(?<![^\W\u2e80-\uffef])"
_VALUE = r"(?:\[=[^\s\[\]]++\]|=(?:[A-Za-z0-9_/%$+@~-]++|\{[^{}\s]*+\}|[.:,](?=[A-Za-z0-9_/%]))++)?"

SIGIL: tuple[Rule, ...] = (
    Rule(Convention.DELIMITED, "$", r"\$[A-Za-z_][A-Za-z0-9_]++\$(?![A-Za-z0-9_])"),
    Rule(Convention.DOLLAR, "$", r"\$t\([^()\n]++\)"),
    Rule(Convention.DOLLAR, "$", r"\$\{[^{}\n]++\}"),
    Rule(Convention.DOLLAR, "$", r"\$\([A-Za-z_][^()\n]*+\)"),
    Rule(
        Convention.DOLLAR,
        "$",
        r"(?<![A-Za-z0-9_$])\$[A-Za-z_][A-Za-z0-9_]*+(?:->[A-Za-z_]\w*+|\[(?:\d++|['\"]?+[A-Za-z_]\w*+['\"]?+)\])*+",
    ),
    Rule(Convention.RUBY, "#", r"#\{[^{}\n]++\}"),
    Rule(
        Convention.EMOJI_CODES,
        ":",
        r"(?<![A-Za-z0-9_:]):(?:[a-z][a-z0-9_+-]{1,31}+|[+-]1|100|1234|8ball):(?![A-Za-z0-9_]|//)",
    ),
    # Not after the end of another placeholder: a Finnish "%s:n" or "{name}:n" has an ending there.
    Rule(Convention.COLON, ":", rf"{_NOT_IN_WORD}(?<![:;)}}\]>\"'%$@\\.&]):[A-Za-z][A-Za-z0-9_]++(?!:/)"),
    Rule(Convention.DELIMITED, "@", r"@@[A-Za-z_][\w.-]*+@@"),
    Rule(
        Convention.HANDLES,
        "@",
        r"(?<![A-Za-z0-9_@])@[A-Za-z0-9_]++"
        r"(?:@[A-Za-z0-9-]++(?:\.[A-Za-z0-9-]++)++|/[A-Za-z0-9_]++(?:[.-][A-Za-z0-9_]++)*+)?",
    ),
    Rule(Convention.DELIMITED, "_", r"(?<![A-Za-z0-9_])__[A-Z][A-Z0-9]*+(?:_[A-Z0-9]++)*+__(?![A-Za-z0-9_])"),
    Rule(
        Convention.ESCAPES,
        "\\",
        r"""\\(?:[nrtN]|[abefhv](?![A-Za-z])|["'\\0]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|u\{[0-9A-Fa-f]{1,6}\})""",
    ),
    Rule(Convention.ENTITIES, "&", r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9.-]{1,63}+);"),
    Rule(Convention.SHELL, "-", rf"{_NOT_IN_WORD}(?<!-)--[A-Za-z][A-Za-z0-9]*+(?:-[A-Za-z0-9]++)*+{_VALUE}"),
    Rule(Convention.SHELL, "-", rf"{_NOT_IN_WORD}(?<![-+*/.:;=}})\]>%])-[A-Za-z](?![\w-])"),
)
