"""Public repositories as they are published, with tiny random weights, and a loopback hub that serves them.

The forms are facts: file names, fields of configurations, forms of tokenizers and weights. Which repository has
which form, and the chat templates, are from memory and model cards.
"""
