"""The engine ``torch``: transformers' modules with our attention, KV caches, layers and decoding loop.

From top to bottom: ``parallel`` and ``shrink`` use the ``engine``, which loads a model (``precision``, ``weights``) and
decodes (``decode``) by our attention (``attention``) on our kernels (``native``) or torch's (``layers``).
"""
