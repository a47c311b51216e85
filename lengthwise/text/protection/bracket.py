"""Placeholders in brackets and braces: of programs' formats, of templates, and markup in angle brackets."""

from lengthwise.text.convention import Convention
from lengthwise.text.protection.rule import Rule

#: Templates may hold what ends them in part, such as ``%`` in ``<% a % b %>``, but no second beginning.
_TEMPLATES = (
    r"\{\{\{[^{}\n]++\}\}\}",
    r"\{\{(?:[^{}\n]|\{[^{}\n]*+\})*+\}\}",
    r"\{%(?:[^%{]|%(?!\})|\{(?!%))*+%\}",
    r"\{#(?:[^#{]|#(?!\})|\{(?!#))*+#\}",
)
_ANGLED_TEMPLATES = (
    r"<%(?:[^%<]|%(?!>)|<(?!%))*+%>",
    r"<\?(?:[^?<]|\?(?!>)|<(?!\?))*+\?>",
)

#: ICU's simple arguments. Messages with branches are read by ``message``.
_ARGUMENT = r"\{\s*+[\w.-]++\s*+,\s*+(?:number|date|time|duration|ordinal|spellout|list)\s*+(?:,[^{}]*+)?\}"

_KEY = r"\[[^\[\]{}\n]*+\]"
_NAME = rf"[#/+^&]?(?:[\w.$@-]|{_KEY}|\([^(){{}}\n]*+\))++"
#: What may follow a name: a conversion and a format without blanks, a filter, or .NET's and Python's formats with them.
_FORMAT = (
    r"(?:,-?\d++(?::[^{}\n]*+)?"
    r"|(?:![A-Za-z])?(?::%[^{}\n]*+|:(?:[^{}\s]|\{[^{}\s]*+\})*+)?"
    r"| ?\|[^{}\n]++)"
)
_BRACES = (
    r"\{\}",
    r"\{(?:![A-Za-z]\}|:[^{}\s]++\})",
    r"\{\d++(?:,-?\d++)?:[^{}\n]*+\}",
    rf"\{{ ?{_NAME}{_FORMAT} ?\}}",
)

#: It ends at the first ``>`` outside of quoted values.
_ATTRIBUTES = r"""(?:[^<>="']|=\s*+(?:"[^"]{0,4000}+"|'[^']{0,4000}+')|[="']){0,4000}+>"""
_TAGS = (
    r"<!--(?:[^<-]|-(?!->)|<(?!!--))*+-->",
    r"<!\[CDATA\[(?:[^\]<]|\](?!\]>)|<(?!!\[))*+\]\]>",
    r"<![A-Za-z][^<>]*+>",
    r"</?\d++ ?/?>",  # of React components
    r"<[@#:!][^<>\s]++>",  # mentions in chats
    r"</?[^\W\d_][^\s<>\"'=]*+ ?/?>",
    rf"<[^\W\d_](?=[^<>=]*+=){_ATTRIBUTES}",
    rf"(?<!\w)</?[^\W\d_]{_ATTRIBUTES}",  # a placeholder in prose such as <your name>, but no tag is in "a<b and c>d"
)

#: Of WordPress and forums: with attributes, with a value, or closing. ``[b]`` alone may be prose.
_SHORTCODES = (
    r"\[[A-Za-z][\w-]*+(?:\s++[\w-]++=(?:\"[^\"\[\]\n]*+\"|'[^'\[\]\n]*+'|\w++))++\s?/?\]",
    r"\[[A-Za-z]++=[^\[\]\s]++\](?!\()",
    r"\[/[A-Za-z][\w-]*+\](?!\()",
)

BRACKET: tuple[Rule, ...] = (
    *(Rule(Convention.TEMPLATES, "{", pattern) for pattern in _TEMPLATES),
    Rule(Convention.ICU, "{", _ARGUMENT),
    Rule(Convention.ESCAPES, "{", r"\{\\[^{}\n]++\}"),
    *(Rule(Convention.BRACES, "{", pattern) for pattern in _BRACES),
    *(Rule(Convention.TEMPLATES, "<", pattern) for pattern in _ANGLED_TEMPLATES),
    *(Rule(Convention.TAGS, "<", pattern) for pattern in _TAGS),
    *(Rule(Convention.DELIMITED, "[", pattern) for pattern in _SHORTCODES),
    Rule(Convention.DELIMITED, "[", r"\[\[[^\[\]\n]++\]\]"),
    Rule(Convention.DELIMITED, "[", r"\[%(?:[^%\[\]\n]|%(?!\]))++%\]"),
    Rule(Convention.DELIMITED, "[", r"\[[A-Za-z][A-Za-z0-9]*+(?:_[A-Za-z0-9]++)++\](?!\()"),
)
