"""Sentences of daily life: statements, questions, requests, and clauses joined by connectives."""

from random import Random

from training.grammar.activity import draw_action, draw_clause
from training.grammar.clause import Clause, words
from training.grammar.context import TextContext
from training.grammar.person import PRONOUNS, person
from training.grammar.sentence import Sentence, capitalised
from training.grammar.tense import ASKED, in_mood, in_past, now


def _statement(clause: Clause) -> Sentence:
    return Sentence("".join(clause.zh) + "。", capitalised(clause.en) + ".", capitalised(clause.de.main()) + ".")


def _yes_or_no(rng: Random) -> Sentence:
    subject = PRONOUNS[1] if rng.random() < 0.6 else person(rng)
    draw = rng.random()
    if draw < 0.4:
        clause = in_past(subject, draw_action(rng, "past"))
    elif draw < 0.85:
        clause = in_mood(subject, draw_action(rng, "future"), rng.choice(ASKED))
    else:
        clause = now(subject, draw_action(rng))
    return Sentence(
        "".join(clause.zh) + "吗？", capitalised(clause.en_question) + "?", capitalised(clause.de.verb_first()) + "?"
    )


def _why_or_where(rng: Random) -> Sentence:
    subject = PRONOUNS[1] if rng.random() < 0.5 else person(rng)
    zh, en, de = rng.choice([("为什么", "Why", "Warum"), ("在哪里", "Where", "Wo")])
    is_where = en == "Where"
    while True:
        action = draw_action(rng)
        if not (is_where and (action.place or action.goal or action.friend)):
            break
    clause = in_past(subject, action) if rng.random() < 0.5 else in_mood(subject, action, rng.choice(ASKED))
    return Sentence(
        f"{clause.zh[0]}{zh}{clause.zh[1]}？", f"{en} {clause.en_question}?", f"{de} {clause.de.verb_first()}?"
    )


def _joined(rng: Random, first: Clause, second: Clause) -> Sentence:
    """Joins two clauses with a connective. In German the connective decides the position of the verb."""
    zh1, zh2, last, turned = "".join(first.zh), "".join(second.zh), first.de.verb_last(), second.de.verb_first()
    en1, en2, main1, main2 = first.en, second.en, first.de.main(), second.de.main()
    zh, en, de = rng.choice(
        [
            (f"因为{zh1}，所以{zh2}", f"because {en1}, {en2}", f"weil {last}, {turned}"),
            (f"如果{zh1}，{zh2}", f"if {en1}, {en2}", f"wenn {last}, {turned}"),
            (f"虽然{zh1}，但是{zh2}", f"although {en1}, {en2}", f"obwohl {last}, {turned}"),
            (f"{zh1}，但是{zh2}", f"{en1}, but {en2}", f"{main1}, aber {main2}"),
            (f"{zh1}，而且{zh2}", f"{en1}, and {en2}", f"{main1}, und {main2}"),
            (f"我觉得{zh1}", f"I think that {en1}", f"ich glaube, dass {last}"),
            (f"我知道{zh1}", f"I know that {en1}", f"ich weiß, dass {last}"),
        ]
    )
    return Sentence(zh + "。", capitalised(en) + ".", capitalised(de) + ".")


def _request(rng: Random) -> Sentence:
    """Draws a request: please do, or please do not."""
    while True:
        is_negative = rng.random() < 0.3
        action = draw_action(rng, "future", is_definite=is_negative)
        if action.verb.zh != "购物":
            break
    no_zh, no_en, no_de = ("不要", "do not", "nicht") if is_negative else ("", "", "")
    end = action.verb.de_prefix
    return Sentence(
        f"请{action.zh(no_zh, '')}。",
        words("Please", no_en, action.verb.en, action.en()) + ".",
        words("Bitte", action.verb.de, "Sie", action.de(last=no_de), end) + ".",
    )


def draw_spoken(context: TextContext) -> Sentence:
    """Draws a sentence of daily life."""
    rng, draw = context.rng, context.rng.random()
    subject = person(rng, context.marker("name") if rng.random() < 0.12 else None)
    if draw < 0.52:
        return _statement(draw_clause(rng, subject, context.tags(0.1)))
    if draw < 0.64:
        return _yes_or_no(rng)
    if draw < 0.7:
        return _why_or_where(rng)
    if draw < 0.78:
        return _request(rng)
    return _joined(rng, draw_clause(rng, subject), draw_clause(rng, person(rng)))
