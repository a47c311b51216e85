"""Makes the two demo models: seeded grammars, tokenizers, training, evaluation and export.

The service imports nothing from here. The grammar of the translation corpus has these modules, from small parts to
large: ``lexicon``, ``determiner``, ``phrase`` and ``person``; then ``clause``, ``tense``, ``activity`` and ``spoken``
for daily life; then ``context``, ``quantity``, ``slot`` and ``sentence`` for patterns with slots; and ``corpus``.
``comment`` is the moderation corpus. ``train``, ``evaluate`` and ``examples`` are the commands.
"""
