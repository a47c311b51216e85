"""Placeholders of each convention are found whole, and prose is not."""

import re

import pytest

from lengthwise.text.part import Kept, Run
from lengthwise.text.protection import ALL, OPTIONAL, Convention, find

#: Texts of each convention. What is to be kept stands in ``⟦⟧``, which are not part of the text.
KEPT = r"""
⟦%s⟧ ⟦%d⟧ ⟦%-5.2f⟧ ⟦%1$s⟧ ⟦%@⟧ ⟦%n⟧ ⟦%%⟧ ⟦%ld⟧ ⟦%zu⟧ ⟦%#x⟧ ⟦%5d⟧ ⟦%02d⟧ ⟦%.*f⟧ ⟦%m⟧ ⟦%I64d⟧ ⟦%'lu⟧
⟦%(name)s⟧ has ⟦%(count)d⟧, ⟦%2$#@files@⟧ and ⟦%#@files@⟧
Hello ⟦%1⟧. ⟦%L1⟧, ⟦%1⟧⟦%2⟧ and ⟦%1⟧MB
⟦%d⟧kg, ⟦%.2f⟧ms, ⟦%d⟧GiB, ⟦%ld⟧ms, ⟦%3u⟧d, ⟦%d⟧x⟦%d⟧, ⟦%s⟧-ban, ⟦%d⟧件, ⟦%s⟧'nin
50⟦%%⟧ of ⟦%d⟧⟦%%⟧, ⟦%d⟧/⟦%d⟧, ⟦%s⟧⟦%s⟧, 5 ⟦%s⟧
⟦%1$tB⟧, ⟦%1!s!⟧ and ⟦%1%⟧
on ⟦%Y-%m-%d⟧, in ⟦%B⟧ or at ⟦%Y-%m-%d %H:%M⟧
⟦%Y年%m月%d⟧日 and ⟦%Y-%m-%dT%H:%M:%SZ⟧
Hello ⟦%{name}⟧, ⟦%<price>.2f⟧ for ⟦#{user.name}⟧ and ⟦%<PRIu64>⟧
⟦{}⟧ ⟦{0}⟧ ⟦{0:N2}⟧ ⟦{name}⟧ ⟦{ name }⟧ ⟦{user['x']}⟧ ⟦{x!r:>10}⟧ ⟦{x:{w}.{p}}⟧ ⟦{0:dd MMM yyyy}⟧
⟦{:?}⟧ ⟦{:.2f}⟧ ⟦{a.b}⟧ ⟦{имя}⟧ ⟦{0,10}⟧ ⟦{d:%Y-%m %H}⟧ ⟦{ -brand }⟧ ⟦{name|upper}⟧ ⟦{ $x }⟧ '⟦{name}⟧'
⟦{n, number}⟧ ⟦{day, date, short}⟧ ⟦{n, number, ::currency/USD}⟧
⟦{{x}}⟧ ⟦{{#if a}}⟧yes⟦{{/if}}⟧ ⟦{{{raw}}}⟧ ⟦{% if x %}⟧ ⟦{# c #}⟧ ⟦{{ user.name }}⟧ ⟦{{ t({a: 1}) }}⟧
⟦<%= name %>⟧ ⟦<% if (a % b < c) %>⟧ ⟦<?php echo $a->b; ?>⟧
⟦${x}⟧ ⟦$name⟧, ⟦$user->name⟧ ⟦$row['id']⟧. ⟦$t(key, {"a": 1})⟧ ⟦$(date)⟧ 你好⟦$name⟧您好
⟦[[x]]⟧ ⟦[USER_NAME]⟧ ⟦[%key:x::y%]⟧ ⟦@@name@@⟧ ⟦__NAME__⟧ ⟦%name%⟧ ⟦$NAME$⟧
Hello ⟦:name⟧, page ⟦:page⟧/⟦:total⟧ (⟦:count⟧)
nice ⟦:smile:⟧ ⟦:+1:⟧ ⟦:100:⟧
one⟦\n⟧two⟦\t⟧⟦\"⟧x⟦\"⟧ ⟦\u00e9⟧ ⟦{\an8}⟧Hi⟦\N⟧there
see ⟦HTTPS://Example.com/x⟧. (⟦http://a.com/x_(y)⟧), ⟦<http://b.c>⟧ "⟦http://a.com⟧"
⟦www.a.com/x⟧! ⟦ftp://a/b⟧, ⟦file:///etc/x⟧; ⟦mailto:a@b.c?subject=x⟧ ⟦tel:+49123⟧
⟦http://a.com/{id}?q=%s&x=${y}⟧, ⟦http://[::1]:80/⟧ and ⟦http://a.com/:id⟧, [⟦http://a.com⟧]
⟦http://müller.de/straße⟧, ⟦http://пример.рф/путь⟧. ⟦http://hi.in/दिल्ली⟧।
请看⟦https://a.com/x⟧查看，⟦https://zh.org/wiki/北京⟧。（⟦https://例え.jp/パス⟧）
⟦a@b.co.uk⟧, ⟦müller@bücher.de⟧. ⟦用户@例子.广告⟧。邮箱⟦me+x@a.com⟧查看
see⟦<a href="x">⟧link⟦</a>⟧, 字⟦<span class='a'>⟧x⟦</span>⟧⟦\n⟧⟦<img src="y" alt="z">⟧
⟦[gallery ids="1,2,3"]⟧ ⟦[caption id="a" width='300']⟧this⟦[/caption]⟧ ⟦[row n=3]⟧ ⟦[embed src="x" /]⟧ [b]bold⟦[/b]⟧
⟦[url=http://x.y]⟧link⟦[/url]⟧ and ⟦[color=red]⟧red⟦[/color]⟧
⟦@string/app_name⟧ is from ⟦@org/repo-x⟧. ⟦@a⟧/⟦@b⟧
thanks ⟦@nike_cn⟧ and ⟦@me@mastodon.social⟧!
⟦SKU-12345⟧ ⟦AB-12-3456⟧
⟦/etc/fstab⟧, ⟦/tmp⟧, ⟦/a/b.c⟧. ⟦~/x⟧ ⟦./y⟧ ⟦../z⟧ ⟦/home/%s/x⟧
⟦C:\dir\new.txt⟧, ⟦C:\Users\%s⟧, ⟦\\server\share⟧ ⟦C:\Program Files\x⟧
⟦--help⟧, ⟦-v⟧, ⟦--color=auto⟧. ⟦--no-x[=WHEN]⟧ 使用⟦--all⟧
⟦<b>⟧x⟦</b>⟧⟦<br/>⟧⟦<0>⟧y⟦</0>⟧ ⟦<img/>⟧ ⟦<!-- c -->⟧ ⟦<@U123>⟧
⟦<a href='x>y' title="%s">⟧the ⟦<title>⟧ element⟦</a>⟧ ⟦<名前>⟧
say ⟦<your name>⟧, word⟦<br />⟧word
a⟦&nbsp;⟧b ⟦&#160;⟧ ⟦&#xA0;⟧ ⟦&brandShortName;⟧
⟦www.a.com&nbsp;⟧, see:⟦\nhttp://a.com⟧
"""

#: Texts in which nothing is to be kept.
PROSE = r"""
50% off|100 % sicher|5 % de|100%|the %discount|50%discount|Invalid %-encoding|20 %ige Lösung|at 5%-7%, 60%.
10:30|Ratio 3:4, ch. 3:16
note:name|std::string|http is a protocol|://|http://|www is old|x y z|C:|a.b|U.S.|e.g.|#1|#hashtag|C# and C++|$5
US$ 5|5$ or 10$|A$AP Rocky|{|}|{see the manual}|{note: read it}|{Berlin, Germany}|a_b|snake_case, __ and _x_
he/she, and/or, km/h, N/A, 1/2|he /she|I <3 you|x < 5 and y > 3|a<b and c>d|1 <2|AT&T|R&D; and|&|[sic] and [s]he
[/]|[a b] and [x = y]
T-shirt, UTF-8, COVID-19|a -- b|word--word|3-4|@|2 @ 5 €|size@home|Ein- und Ausgabe|:) :D :-P|mailto:|%
% and & and #|\|it's 'quoted' and "quoted"|…etc. /|--- ---|Tel: 030 123|¿100 %?
"""


def kept(text: str, conventions: frozenset[Convention] = ALL) -> list[str]:
    return [part.raw for part in find(Run.plain(text), conventions) if isinstance(part, Kept)]


@pytest.mark.parametrize("marked", KEPT.strip().splitlines())
def test_placeholders_are_kept_whole(marked: str) -> None:
    assert kept(re.sub("[⟦⟧]", "", marked)) == re.findall("⟦(.+?)⟧", marked)


@pytest.mark.parametrize("text", PROSE.strip().replace("\n", "|").split("|"))
def test_prose_is_one_run(text: str) -> None:
    assert find(Run.plain(text), ALL) == [Run.plain(text)]
    assert find(Run.plain(f"So {text} it is"), ALL) == [Run.plain(f"So {text} it is")]


@pytest.mark.parametrize("placeholder", ["%{name}", "#{name}", "{}", ":name", "%1", "$name", "<%= name %>", "[[name]]"])
def test_the_words_around_a_placeholder_stay_together(placeholder: str) -> None:
    found = find(Run.plain(f"Hello {placeholder}, I ate an apple."), ALL)
    assert found == [Run.plain("Hello "), Kept(placeholder), Run.plain(", I ate an apple.")]


@pytest.mark.parametrize("convention", sorted(ALL))
def test_a_convention_that_is_off_leaves_the_text(convention: Convention) -> None:
    examples = {"printf": "%s", "strftime": "%Y-%m", "ruby": "%{a b}", "braces": "{a}", "icu": "{a, date, x y}"}
    examples |= {"templates": "{{a b}}", "dollar": "$a", "delimited": "[[a]]", "colon": ":ab", "emoji-codes": ":ab:"}
    examples |= {"escapes": r"\n", "links": "http://a", "handles": "@a", "codes": "AB-1234", "shell": "--a"}
    examples |= {"tags": "<b>", "entities": "&lt;"}
    text = f"a {examples[convention]} b"
    assert kept(text, frozenset({convention})) == [examples[convention]]
    if convention not in (Convention.TEMPLATES, Convention.STRFTIME, Convention.EMOJI_CODES):  # others take a part
        assert kept(text, ALL - {convention}) == []


@pytest.mark.parametrize("conventions", [ALL, frozenset[Convention]()])
def test_private_characters_are_always_kept_each_by_itself(conventions: frozenset[Convention]) -> None:
    assert kept("a \ue000\ue001b \U000f0000", conventions) == ["\ue000", "\ue001", "\U000f0000"]


@pytest.mark.parametrize("emoji", ["😀", "👨‍👩‍👧", "👍🏽", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🇩🇪", "1️⃣", "❤️", "🏳️‍🌈"])
def test_an_emoji_sequence_is_kept_whole_if_it_is_asked_for(emoji: str) -> None:
    assert kept(f"ab{emoji}{emoji} cd", OPTIONAL) == [emoji, emoji]
    assert kept(f"ab{emoji} cd") == []
    assert kept("1 # * and é", OPTIONAL) == []


def test_what_was_escaped_is_kept_as_it_stood() -> None:
    pieces = [("&lt;", "<"), ("b", "b"), ("&gt;", ">"), ("caf", "caf"), ("&eacute;", "é"), (" {", " {"), ("a", "a")]
    pieces += [("}&amp;x", "}&x"), ("\u00ad", "")]
    raw, text = "".join(piece[0] for piece in pieces), "".join(piece[1] for piece in pieces)
    starts, at = [], 0
    for source, shown in pieces:
        starts += [at + index for index in range(len(shown))]
        at += len(source)
    found = find(Run(raw, text, [*starts, at]), ALL)
    assert [(type(part), part.raw) for part in found] == [
        (Kept, "&lt;b&gt;"),
        (Run, "caf&eacute; "),
        (Kept, "{a}"),
        (Run, "&amp;x\u00ad"),
    ]
    assert [part.text for part in found if isinstance(part, Run)] == ["café ", "&x"]


def test_an_empty_run_and_one_without_text_come_back() -> None:
    for run in (Run.plain(""), Run("\u00ad", "", [0])):
        assert find(run, ALL) == [run]
