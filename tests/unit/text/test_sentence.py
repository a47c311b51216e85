"""Finding the sentences of a text, and cutting those that are too long."""

from itertools import pairwise

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.text import sentence

#: ``|`` stands where a sentence ends within a text.
MARKED = [
    ("fr", "Vu l'acte du 3 janv. 2010 de la cour. |Il vient."),
    ("fr", "M. Dupont et Mme. Durand. |Voir t. II, p. 3."),
    ("de", "Frau Kunz, geb. Lang, kam. |Siehe Bd. III und Kap. XIV dazu."),
    ("en", "See vol. II of the book, and ch. IX. |I did. |I went."),
    ("en", "The term ends 30 Sept. 2024 at noon. |We left. |2024 was good."),
    ("vi", "TS. Nguyễn đến TP. Huế. |Rồi đi."),
    ("ru", "Пушкин родился в 1799 г. в Москве."),
    ("fr", "Il habite env. à Paris."),
    ("hi", "मैंने सेब खाया। |वह चला गया।"),
    ("ja", "りんごを食べました｡|彼は行った｡"),
    ("zh", "我吃了一个苹果.|他走了."),
    ("de", "Art.-Nr. 4711, Tel. 030 12 34, max. 5 kg."),
    ("en", "The U.S. Army met Gen. Lee at 5 p.m. Monday."),
    # a placeholder begins a sentence, a tag does not
    ("en", "It is made in Germany. |\ue000 must study."),
    ("en", "Our charger is new. |\ue000 is nicer. |It is cheap."),
    ("en", "“It is new.” |\ue000 is nicer."),
    ("en", "He said etc. \ue001and more."),
    ("en", "It costs approx. \ue000 today."),
    ("en", "I met Dr. \ue000 today."),
    ("de", "Am 3. \ue000 war es kalt."),
    # stops of other scripts
    ("ur", "یہ ہے۔ |وہ ہے۔"),
    ("ar", "هل أنت متأكد؟ |نعم."),
    ("my", "ဒါက။ |ဟိုဟာ။"),
    ("am", "ይህ ነው። |ያ ነው።"),
    ("hy", "Սա է։ |Նա է։"),
    ("km", "នេះ។ |នោះ។"),
    ("ja", "今日は暑い．|明日も．"),
    ("ja", "円周率は３．１４です．|大事です．"),
    # a small letter of any script
    ("el", "Έζησε τον 5ο αι. π.Χ. στην Αθήνα. |Ήταν σοφός."),
    ("uk", "Це було 1812 р. у місті. |Усі пам’ятають."),
    ("cs", "Bydlí v ul. č. 15 b. |Já ne."),
    ("de", "Das ist evtl. übermorgen so. |Öl ist da."),
    ("fr", "Rendez-vous au bd. é. et là. |Élise vient."),
    ("en", "“Wait!” he said. |“I am coming.”"),
    # abbreviations, initials, ordinals, list items
    ("en", "Apple Inc. Chairman John Smith Sr. spoke. |He left."),
    ("en", "It is 5 p.m. |He left."),
    ("en", "At 6 a.m. EST it rang. |We woke at 7 a.m. March 3."),
    ("en", "1. Open the door. |2. Close it."),
    ("de", "Am 3. Mai und im 19. Jahrhundert. |Es war 1999. |Danach nicht."),
    ("ru", "А. С. Пушкин жил тут. |Он был поэтом."),
    ("fr", "M. Dupont et le Dr. Martin sont là. |J.-P. Sartre aussi."),
    ("pt", "Veja a pág. 12 e o cap. 3. |Está lá."),
    ("hi", "डॉ. शर्मा आए। |वे बैठे।"),
    ("zh", "这是Dr. Smith的书。|很好看。"),
    ("it", "Visita www.esempio.it. |È gratis."),
    # numbers, versions, addresses, ellipses
    ("en", "Node.js 3.5 is at www.example.com now. |Get it."),
    ("en", "Wait... what? |Yes... |No."),
    ("zh", "等等……什么？|版本2.0来了。"),
    ("ja", "わからない…。|たぶんね。"),
    # quotes and brackets
    ("fr", "Il a dit : « Je pars. » |Personne n’a répondu."),
    ("zh", "“你来吗？”她问。|他说：“来。”|我走了。"),
    ("ja", "「こんにちは。」と彼は言った。|私もだ。"),
    # newlines
    ("en", "one line\n|another line\r\n\t|indented\u2028|last"),
    ("en", "\n\n one\n\n\n|two\n"),
    # marks
    ("en", "Hello.\ue000 |There, \ue001. |\ue002Yes. |\ue003 Go"),
    ("en", "\ue000Dr.\ue001 Smith came. |\ue000Then\ue001 he left."),
    ("en", "Hello. \ue000then\ue001 we go."),
    ("zh", "你好！|\ue000，您好。"),
    ("zh", "好。|下一句。\ue001"),
    # codes of languages
    ("zh-Hans", "我吃了。|他走了。"),
    ("pt-BR", "O Sr. Silva chegou. |Era tarde."),
    ("DE", "Prof. Dr. Schmidt ist da. |Gut."),
    ("tlh", "Dr. Worf came. |He left."),
    (None, "Это было в 1812 г. там. |Доктор пришёл. |Проф. Иванов тоже."),
    (None, "Dr. Smith came. |He left."),
    (None, "यह है। |वह है।"),
]


def sentences(text: str, language: str | None = None) -> list[str]:
    return [text[start:end] for start, end in pairwise([0, *sentence.ends(text, language)])]


@pytest.mark.parametrize(("language", "marked"), [pair for pair in MARKED if pair[0] or "|" in pair[1]])
def test_sentences_end_where_a_reader_would_end_them(language: str | None, marked: str) -> None:
    assert sentences(marked.replace("|", ""), language) == marked.split("|")


@pytest.mark.parametrize("text", ["", " ", "\n", "No stop at the end", "3.5", "Hi. \n", "。", "...", "\ue000."])
def test_some_texts_are_one_sentence(text: str) -> None:
    assert sentence.ends(text, "en") == [len(text)]


HOSTILE = 'ab Z.!?。！\n\r\u2028"”“«»()12é\ue000\uf8ff你す।؟．…-,；\u0301\u200d\U0001f600\u00a0Дд'


@given(st.text(st.sampled_from(HOSTILE), max_size=60), st.sampled_from([None, "de", "en", "zh", "ru", "it", "x"]))
def test_the_sentences_cover_the_text(text: str, language: str | None) -> None:
    ends = sentence.ends(text, language)
    assert ends[-1] == len(text)
    assert all(start < end for start, end in pairwise(ends))


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_newline_ends_a_sentence_wherever_it_stands(before: str, after: str) -> None:
    if before.strip() and after.strip():
        ends = sentence.ends(f"{before}\n{after}", "en")
        assert any(end > len(before) and f"{before}\n{after}"[len(before) : end].isspace() for end in ends)


@given(st.lists(st.sampled_from(["He came.", "Is it so?", "It is 3.5.", "Dr. No left!"]), min_size=1, max_size=2_000))
def test_a_long_text_has_the_same_sentences_as_its_parts(parts: list[str]) -> None:
    assert [each.strip() for each in sentences(" ".join(parts), "en")] == parts


@given(st.lists(st.sampled_from(["He came.", "Is it so?", "Dr. No left!"]), min_size=1), st.data())
def test_a_mark_hides_no_end(parts: list[str], data: st.DataObject) -> None:
    marked = [
        data.draw(st.sampled_from([part, f"\ue000{part}", f"{part}\ue001", f"\ue000{part}\ue001"])) for part in parts
    ]
    assert [each.strip() for each in sentences(" ".join(marked), "en")] == marked


def characters(texts: list[str]) -> list[int]:
    return [len(text) for text in texts]


def pieces_of(text: str, limit: int) -> list[str]:
    return [text[start:end] for start, end in pairwise([0, *sentence.cut(text, limit, characters)])]


@pytest.mark.parametrize(
    ("text", "limit", "pieces"),
    [
        ("It fits.", 8, ["It fits."]),
        ("It came, it saw, it won.", 20, ["It came, ", "it saw, it won."]),
        ("They came at noon, and left.", 20, ["They came at noon, ", "and left."]),
        ("我吃了一个苹果，然后他就走了", 10, ["我吃了一个苹果，", "然后他就走了"]),
        ("one two three four", 10, ["one two ", "three four"]),
        ("a" * 25, 10, ["a" * 8, "a" * 9, "a" * 8]),
        ("1,000,000 or so", 12, ["1,000,000 ", "or so"]),
        ("e\u0301" * 3, 2, ["e\u0301"] * 3),
        ("👨‍👩‍👧‍👦👨‍👩‍👧‍👦", 3, ["👨‍👩‍👧‍👦"] * 2),
        ("", 5, []),
    ],
)
def test_a_long_sentence_is_cut_at_clauses_then_words_then_characters(text: str, limit: int, pieces: list[str]) -> None:
    assert pieces_of(text, limit) == (pieces or [""])


@given(st.text(st.sampled_from(HOSTILE)), st.integers(1, 12))
def test_no_piece_is_longer_than_the_limit_and_none_is_lost(text: str, limit: int) -> None:
    pieces = pieces_of(text, limit)
    assert "".join(pieces) == text
    assert all(len(piece) <= limit or len(regex.findall(r"\X", piece)) == 1 for piece in pieces)
    assert [each for piece in pieces for each in regex.findall(r"\X", piece)] == regex.findall(r"\X", text)


@pytest.mark.parametrize("unit", ["a", "a ", "a, ", "。", " ", "\u0301", ",", "x" * 30 + " "])
def test_the_pieces_are_few(unit: str) -> None:
    text = unit * (30_000 // len(unit))
    pieces = pieces_of(text, 100)
    assert "".join(pieces) == text
    assert len(pieces) <= 2 * len(text) / 100


@pytest.mark.parametrize(("language", "has_blanks"), [("en", True), ("zh", False), ("zh-Hant", False), (None, True)])
def test_some_languages_write_no_blank_between_sentences(language: str | None, has_blanks: bool) -> None:
    assert sentence.has_blanks(language) is has_blanks


@pytest.mark.parametrize("part", [".", "。", "a.", " A.", "\n", "?!", "“", "“a. ", "。”", "a\n", ".\ue000 ", "'", "« "])
def test_a_long_text_of_one_pattern_is_split(part: str) -> None:
    text = part * 20_000  # at quadratic cost, this test would run into its timeout
    assert sentence.ends(text, "en")[-1] == len(text)
    assert sentence.cut(text, 500, characters)[-1] == len(text)
