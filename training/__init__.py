"""How the two demo models are made: seeded grammars, tokenizers, training, evaluation and export.

Nothing here is imported by the service. ``lexicon`` → ``phrase`` → ``clause`` → ``template`` → ``corpus`` build the
translation corpus; ``comment`` builds the moderation corpus; ``train`` and ``evaluate`` are the commands.
"""
