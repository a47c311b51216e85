"""A text's marks go where its characters go, whatever a template does with them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.errors import InvalidInput
from lengthwise.models.prompts.marked import CALLERS, Marked, join, marks
from lengthwise.models.template import ChatTemplate

#: Characters of a caller's, in these tests. All others are the template's.
CALLERS_OWN = "xyz -\n\r\u2028"
TEXTS = st.text("xyz -\n\r\u2028ab,\t", max_size=20)
SHORT = st.text("xa- ,\n", min_size=1, max_size=3)


def text(value: str) -> Marked:
    return Marked(value, bytes(character in CALLERS_OWN for character in value))


def check(found: Any, expected: Any) -> None:
    """Fails if the texts differ, or if a mark is not that of its character."""
    if isinstance(expected, str):
        assert found == expected
        assert list(marks(found)) == [character in CALLERS_OWN for character in expected]
    else:
        assert len(found) == len(expected)
        assert type(found) is type(expected)
        for part, other in zip(found, expected, strict=True):
            check(part, other)


METHODS: dict[str, Any] = {
    "strip": st.tuples() | st.tuples(SHORT),
    "lstrip": st.tuples() | st.tuples(SHORT),
    "rstrip": st.tuples() | st.tuples(SHORT),
    "removeprefix": st.tuples(SHORT),
    "removesuffix": st.tuples(SHORT),
    "split": st.tuples() | st.tuples(SHORT | st.none(), st.integers(-1, 3)),
    "rsplit": st.tuples() | st.tuples(SHORT | st.none(), st.integers(-1, 3)),
    "splitlines": st.tuples() | st.tuples(st.booleans()),
    "partition": st.tuples(SHORT),
    "rpartition": st.tuples(SHORT),
    "replace": st.tuples(SHORT | st.just(""), SHORT | st.just(""), st.integers(-1, 4)),
    "__getitem__": st.tuples(st.slices(20)),
    "__mul__": st.tuples(st.integers(-1, 3)),
    "__add__": st.tuples(TEXTS),
}


@pytest.mark.parametrize("name", METHODS)
@given(value=TEXTS, data=st.data())
def test_a_method_keeps_each_characters_mark(name: str, value: str, data: st.DataObject) -> None:
    given = data.draw(METHODS[name])
    ours = [text(each) if isinstance(each, str) else each for each in given]
    check(getattr(text(value), name)(*ours), getattr(value, name)(*given))


@given(value=TEXTS, parts=st.lists(TEXTS, max_size=4))
def test_texts_that_are_joined_keep_their_marks(value: str, parts: list[str]) -> None:
    check(join(text(value), map(text, parts)), value.join(parts))
    check(text(value).join(map(text, parts)), value.join(parts))
    check("ab" + text(value), "ab" + value)
    check(list(text(value)), list(value))
    assert text(value) == value
    assert hash(text(value)) == hash(value)


#: What a template may do with a message, and what comes of it for " éü\n". Its own characters are ASCII.
KEPT = {
    "{{ c }}": " éü\n",
    "{{ 'a' + c + 'b' }}": "a éü\nb",
    "{{ 'a' ~ c ~ 1 }}": "a éü\n1",
    "{{ c | trim }}|": "éü|",
    "{{ c.strip() + 'é' | upper }}": "éüÉ",
    "{{ ['a', c, 'b'] | join('-') }}": "a- éü\n-b",
    "{{ '-'.join(['a', c]) }}": "a- éü\n",
    "{{ messages | map(attribute='content') | map('trim') | join(',') }}": "éü",
    "{{ messages | join(',', attribute='content') }}": " éü\n",
    "{{ '-'.join(messages | map(attribute='content')) }}": " éü\n",
    "{{ c.split('é')[-1] }}": "ü\n",
    "{{ 'a#b' | replace('#', c.strip()) }}": "aéüb",
    "{{ 'a#b'.replace('#', c.strip()) }}": "aéüb",
    "{{ c[1:2] ~ c[2] ~ 'x' }}": "éüx",
    "{{ c | first }}{{ c | last }}{{ c | reverse }}": " \n\nüé ",
    "{% for x in c %}{{ x }}.{% endfor %}": " .é.ü.\n.",
    "{% macro m(t) %}<{{ t }}>{% endmacro %}{{ m(c | trim) }}{{ m('a') }}": "<éü><a>",
    "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}{{ c | trim }}{% endcall %}": "<éü>",
    "{% set t %}<{{ c | trim }}>{% endset %}{{ t }}": "<éü>",
    "{% filter trim %} a{{ c }}{% endfilter %}": "a éü",
    "{% generation %}<{{ c | trim }}>{% endgeneration %}": "<éü>",
    "{% set n = namespace(t='') %}{% set n.t = n.t + 'a' + c %}{{ n.t }}": "a éü\n",
    "{{ dict(a=c).a }}{{ messages[0].get('content') }}{{ messages[0].get('role') }}": " éü\n éü\nuser",
    "{{ nothing | default('<a>') }}{{ c | default('<a>') }}": "<a> éü\n",
    "{{ c * 2 }}": " éü\n éü\n",
    "{{ loop_name }}{{ options.deep[0] }}": "ñø",
}


def rendered(source: str) -> Marked:
    given = {"loop_name": "ñ", "options": {"deep": ["ø"]}}
    messages = [{"role": "user", "content": " éü\n"}]
    return ChatTemplate("{% set c = messages[0].content %}" + source, {}).render(messages, given)


@pytest.mark.parametrize("source", KEPT)
def test_a_template_keeps_each_characters_mark(source: str) -> None:
    found = rendered(source)
    assert found == KEPT[source]
    wrong = [
        character
        for character, mark in zip(found.plain(), marks(found), strict=True)
        if (mark == CALLERS[0]) != (not character.isascii()) and not character.isspace() and character != "É"
    ]
    assert not wrong


#: Where it cannot be told what the template wrote, all is taken for a caller's.
TAKEN_WHOLE = {
    "{{ '<%s>' % c }}": "< éü\n>",
    "{{ '<%s>' | format(c) }}": "< éü\n>",
    "{{ '<{}>'.format(c) }}": "< éü\n>",
    "{{ ('<' + c) | upper }}": "< ÉÜ\n",
    "{{ ('<' + c).upper() }}": "< ÉÜ\n",
    "{{ [c] | tojson }}": '[" éü\\n"]',
    "{{ [c] }}": "[' éü\\n']",
    "{{ [c] | string }}": "[' éü\\n']",
    "{{ c | e }}": " éü\n",
    "{{ c.plain() }}": " éü\n",
    "{{ c | attr('strip') | string | truncate(0, True, '') }}": "",
}


@pytest.mark.parametrize("source", TAKEN_WHOLE)
def test_a_text_of_which_nothing_is_known_is_marked_as_a_whole(source: str) -> None:
    found = rendered(source)
    assert found == TAKEN_WHOLE[source]
    assert set(marks(found)) <= {CALLERS[0]}


@pytest.mark.parametrize(
    "source", ["{{ c.format(1) }}", "{{ c['format'](1) }}", "{{ c.encode().decode() }}", "{{ c._marks }}{{ 1 / 0 }}"]
)
def test_a_message_is_no_format_and_loses_no_marks(source: str) -> None:
    with pytest.raises(InvalidInput):
        rendered(source)
    assert rendered("{{ c._marks }}{{ c.__class__ }}") == ""


@pytest.mark.parametrize("content", ["100% 2025", "%99999d", "{:99999}", "9" * 30])
def test_a_message_may_look_like_a_format(content: str) -> None:
    source = "{% macro m(t) %}{{ t | trim }}{% endmacro %}{{ m(messages[0].content) }}{{ messages[0].content.strip() }}"
    assert ChatTemplate(source, {}).render([{"role": "user", "content": content}]) == content * 2
