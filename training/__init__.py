"""How the two demo models are made: seeded grammars, tokenizers, training, evaluation and export.

Nothing here is imported by the service. The grammar of the translation corpus, from small to large: ``lexicon``,
``determiner``, ``phrase`` and ``person``; ``clause``, ``tense``, ``activity`` and ``spoken`` for daily life; ``context``,
``quantity``, ``slot`` and ``sentence`` for patterns with slots; and ``corpus``. ``comment`` is the moderation corpus;
``train``, ``evaluate`` and ``examples`` are the commands.
"""
