"""Clauses in three languages, and actions: a verb with its object, place, time and so on.

A German clause keeps its parts separate, because its word order depends on the sentence around it. This module does
not know tenses.
"""

from dataclasses import dataclass

from training.grammar.lexicon import PlacePhrase, Verb, Word
from training.grammar.phrase import Phrase


def words(*parts: str) -> str:
    return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class GermanClause:
    subject: str
    finite: str
    middle: str
    end: str
    #: Whether ``end`` is the finite verb's separable prefix. If the verb comes last, the two are one word.
    is_prefix: bool = False

    def main(self) -> str:
        return words(self.subject, self.finite, self.middle, self.end)

    def verb_first(self) -> str:
        """Word order of questions, and of main clauses after another clause."""
        return words(self.finite, self.subject, self.middle, self.end)

    def verb_last(self) -> str:
        verb = self.end + self.finite if self.is_prefix else words(self.end, self.finite)
        return words(self.subject, self.middle, verb)


@dataclass(frozen=True)
class Clause:
    """One clause in three languages, not capitalised yet.

    ``zh`` is a pair of the subject and the rest, so that a question word fits between them.
    """

    zh: tuple[str, str]
    en: str
    en_question: str
    de: GermanClause


@dataclass(frozen=True)
class Action:
    """A verb with its object, place, goal, beneficiary and time, without subject and tense."""

    verb: Verb
    object: Phrase | None = None
    place: PlacePhrase | None = None
    goal: PlacePhrase | None = None
    friend: Phrase | None = None
    time: Word | None = None

    def zh(self, before: str, after: str) -> str:
        friend = f"给{self.friend.zh}" if self.friend else ""
        place = f"在{self.place.zh}" if self.place else ""
        to = self.object.zh if self.object else self.goal.zh if self.goal else ""
        said = (self.time.zh if self.time else "") + before + friend + place + self.verb.zh + after + to
        return said.replace("正在在", "正在")

    def en(self) -> str:
        return words(
            self.object.en if self.object else "",
            self.goal.en_goal if self.goal else "",
            f"for {self.friend.en}" if self.friend else "",
            self.place.en if self.place else "",
            self.time.en if self.time else "",
        )

    def de(self, first: str = "", last: str = "") -> str:
        """Returns the middle field: what stands between the two parts of the verb."""
        return words(
            first,
            self.time.de if self.time else "",
            self.place.de if self.place else "",
            f"für {self.friend.acc}" if self.friend else "",
            self.object.acc if self.object else "",
            last,
            self.goal.de_goal if self.goal else "",
        )
