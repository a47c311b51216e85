"""Sentences to train tokenizers on: few words in many orders, in English, German and Chinese."""

from itertools import product

_ENGLISH = (
    ("The cook", "My friend", "A teacher", "The old woman", "Nobody", "The driver", "Your sister", "The engineer"),
    ("buys", "wants", "forgets", "carries", "finds", "is looking for", "writes about", "would like"),
    ("the bread", "a red apple", "this letter", "three books", "the broken window", "a glass of water"),
    ("today.", "in the morning.", "at 10:30!", "again?", "because it rains.", "for 25 days."),
)
_GERMAN = (
    ("Der Koch", "Mein Freund", "Eine Lehrerin", "Die alte Frau", "Niemand", "Der Fahrer", "Deine Schwester"),
    ("kauft", "möchte", "vergisst", "trägt", "findet", "sucht", "beschreibt", "braucht"),
    ("das Brot", "einen roten Apfel", "diesen Brief", "drei Bücher", "das große Fenster", "ein Glas Wasser"),
    ("heute.", "am Morgen.", "um 10:30 Uhr!", "schon wieder?", "weil es regnet.", "seit 25 Tagen."),
)
_CHINESE = (
    ("厨师", "我的朋友", "一位老师", "那个老太太", "没有人", "司机", "你的姐姐", "工程师"),
    ("买了", "想要", "忘记了", "带着", "找到了", "正在找", "写到", "需要"),
    ("面包", "一个红苹果", "这封信", "三本书", "破窗户", "一杯水"),
    ("。", ",今天。", ",在早上!", ",又是吗?", ",因为下雨了。", ",一共25天。"),
)


def _sentences(parts: tuple[tuple[str, ...], ...], glue: str) -> tuple[str, ...]:
    """Each has two sentences, so that first words also stand behind a blank, as they do in a chat template."""
    found = [glue.join(chosen) for chosen in product(*parts)][::5]
    return tuple(f"{first} {second}" for first, second in zip(found, found[1:] + found[:1], strict=True))


ENGLISH, GERMAN, CHINESE = _sentences(_ENGLISH, " "), _sentences(_GERMAN, " "), _sentences(_CHINESE, "")
EVERY = ENGLISH + GERMAN + CHINESE

#: Texts to try a model with: some like those above, and some that no tokenizer here has seen the like of.
INPUTS = {
    "en": (
        "The cook wants the bread again?",
        "The driver finds three books.",
        "Zoë's café — 3×4 ≈ 12 €",
        "  two  blanks \n",
    ),
    "de": ("Der Koch sucht das Brot.", "Niemand trägt ein Glas Wasser!", "Übermäßig große Größen: ½", "ok"),
    "zh": ("厨师买了面包。", "没有人找到了三本书,今天。", "龍龜鑫 emoji 🙂!", "Hello 世界"),
}
