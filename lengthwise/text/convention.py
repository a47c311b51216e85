"""The conventions by which programs write placeholders."""

from enum import StrEnum


class Convention(StrEnum):
    """A convention, by the name that users write. The comments show what belongs to it."""

    #: ``%s`` ``%1$s`` ``%(name)s`` ``%@`` ``%%``, and Qt's ``%1`` ``%L1`` ``%n``
    PRINTF = "printf"
    #: ``%Y-%m-%d %H:%M``
    STRFTIME = "strftime"
    #: ``%{name}`` ``%<name>s`` ``#{name}``
    RUBY = "ruby"
    #: ``{}`` ``{0:N2}`` ``{user['x']}`` ``{x!r:>10}``
    BRACES = "braces"
    #: ``{n, plural, one {# item} other {# items}}`` ``{day, date, short}``
    ICU = "icu"
    #: ``{{x}}`` ``{% if x %}`` ``<%= x %>`` ``<?php … ?>``
    TEMPLATES = "templates"
    #: ``${x}`` ``$name`` ``$t(key)``
    DOLLAR = "dollar"
    #: ``[[x]]`` ``[USER_NAME]`` ``@@name@@`` ``__NAME__`` ``%name%``
    DELIMITED = "delimited"
    #: ``:name``
    COLON = "colon"
    #: ``:smile:``
    EMOJI_CODES = "emoji-codes"
    #: ``\\n`` ``\\"`` ``\\u00e9`` as characters, and ``{\\an8}`` of subtitles
    ESCAPES = "escapes"
    #: URLs, IRIs and e-mail addresses
    LINKS = "links"
    #: ``@name``
    HANDLES = "handles"
    #: ``SKU-12345``
    CODES = "codes"
    #: ``/etc/fstab`` ``C:\\dir`` ``--help`` ``-v``
    SHELL = "shell"
    #: ``<b>`` ``</b>`` ``<br/>`` ``<your name>``
    TAGS = "tags"
    #: ``&nbsp;`` ``&#160;``
    ENTITIES = "entities"
    #: Emoji, each sequence as a whole
    EMOJI = "emoji"


#: What is on only if it is asked for.
OPTIONAL: frozenset[Convention] = frozenset({Convention.EMOJI})

#: What is on by default.
ALL: frozenset[Convention] = frozenset(Convention) - OPTIONAL

#: What a program reads: a translation that holds one of its own would break it.
STRICT: frozenset[Convention] = frozenset(
    {
        Convention.PRINTF,
        Convention.RUBY,
        Convention.BRACES,
        Convention.ICU,
        Convention.TEMPLATES,
        Convention.DOLLAR,
        Convention.DELIMITED,
        Convention.ESCAPES,
        Convention.TAGS,
    }
)
