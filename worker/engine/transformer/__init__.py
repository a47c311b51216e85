"""The engine torch: transformers' modules, our attention, caches, layers and decoding loop."""
