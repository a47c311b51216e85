"""ICU messages are kept but for the words of their branches."""

import pytest

from lengthwise.text.part import Branch, Choice, Kept, Part, Run
from lengthwise.text.protection import ALL, Convention, find


def shown(part: Part | Branch) -> str:
    """What is kept as it is, words in ``⟦⟧``."""
    if isinstance(part, Run):
        return f"⟦{part.text}⟧"
    return part.raw if isinstance(part, Kept) else "".join(shown(each) for each in part.parts)


def cut(text: str) -> str:
    parts = find(Run.plain(text), ALL)
    assert "".join(part.raw for part in parts) == text
    return "".join(shown(part) for part in parts)


MESSAGES = [
    "⟦You have ⟧{count, plural, one {#⟦ item⟧} other {#⟦ items⟧}}⟦.⟧",
    "{gender, select, male {⟦He⟧} female {⟦She⟧} other {⟦They⟧}}⟦ liked it.⟧",
    "{n, selectordinal, one {#⟦st⟧} two {#⟦nd⟧} few {#⟦rd⟧} other {#⟦th⟧}}⟦ place⟧",
    "{n,plural,offset:1 =0{⟦nobody⟧} =1{{name}} other{{name}⟦ and # others⟧}}".replace(" # ", " ⟧#⟦ "),
    "{ n , plural ,\n  one {⟦a⟧}\n  other {⟦b⟧}\n}",
    "{g, select, a {{n, plural, one {#⟦ cat⟧} other {#⟦ cats⟧}}} other {⟦none⟧}}",
    "{n, plural, other {{g, select, a {⟦# is text here⟧} other {}}}}",
    "{n, plural, other {⟦it''s ⟧'{x}'⟦ and ⟧'#'⟦ and ⟧{x}⟦, don't⟧}}",
    "{n, plural, other {⟦see ⟧<b>https://a.com/x</b>⟦ or ⟧%s⟦ on ⟧{d, date, short}}}",
    "⟦Hi ⟧{name}⟦, ⟧{n, plural, one {⟦a⟧} other {⟦b⟧}}⟦ and ⟧{m, plural, one {⟦c⟧} other {⟦d⟧}}",
    "{days, plural, zero {⟦零⟧} other {#⟦日⟧}}",
    "{a.b, select, true {⟦yes⟧} other {⟦no⟧}}",
]

#: Malformed, or of a kind whose branches cannot be told apart: kept whole.
WHOLE = [
    "{n, plural, one {a} other {b}",
    "{n, plural, one {a} {b}}",
    "{n, plural, one a}",
    "{n, plural, }",
    "{n, plural, one {a} other {b} more}",
    "{0, choice, 0#none|1#one|1<{0} items}",
    "{n, plural, other {l'{name}}}",
]


@pytest.mark.parametrize("expected", MESSAGES)
def test_the_words_of_each_branch_are_cut_out(expected: str) -> None:
    assert cut(expected.replace("⟦", "").replace("⟧", "")) == expected


@pytest.mark.parametrize("message", WHOLE)
def test_a_message_that_is_not_well_formed_is_kept_whole(message: str) -> None:
    assert cut(f"So {message}") == f"⟦So ⟧{message}"


def test_what_follows_a_closed_message_is_text_even_if_the_message_is_malformed() -> None:
    assert cut("{n, plural, one {a} {b}} items") == "{n, plural, one {a} {b}}⟦ items⟧"


@pytest.mark.parametrize("text", ["{n, plural}", "{see, plural of it}", "{n; plural, one {a}}", "{, plural, one}"])
def test_what_has_no_header_is_no_message(text: str) -> None:
    assert not any(isinstance(part, Choice) for part in find(Run.plain(text), ALL))


@pytest.mark.parametrize(("depth", "inner"), [(16, "⟦word⟧"), (17, "{n, plural, other {word}}")])
def test_a_message_in_too_many_others_is_kept_whole(depth: int, inner: str) -> None:
    before, after = "{n, plural, other {", "}}"
    expected = before * min(depth, 16) + inner + after * min(depth, 16)
    assert cut(before * depth + "word" + after * depth) == expected


def test_a_choice_is_made_of_kept_structure_and_branches() -> None:
    [choice] = find(Run.plain("{n, plural, one {# item} other {}}"), ALL)
    assert choice == Choice(
        (
            Kept("{n, plural, one {"),
            Branch((Kept("#"), Run.plain(" item"))),
            Kept("} other {"),
            Branch(()),
            Kept("}}"),
        )
    )


def test_branches_of_an_escaped_message_keep_their_escapes() -> None:
    raw, text = "{n, plural, other {a &amp; b}}", "{n, plural, other {a & b}}"
    at = text.index("&")
    starts = [*range(at + 1), *range(at + 5, len(raw) + 1)]
    [choice] = find(Run(raw, text, starts), ALL)
    assert choice.raw == raw
    assert isinstance(choice, Choice)
    [branch] = [part for part in choice.parts if isinstance(part, Branch)]
    assert branch.parts == (Run("a &amp; b", "a & b", [0, 1, 2, 7, 8, 9]),)


def test_without_the_convention_a_message_is_text_with_placeholders() -> None:
    text = "{n, plural, one {# item} other {# items}}"
    assert find(Run.plain(text), ALL - {Convention.ICU}) == [Run.plain(text)]
