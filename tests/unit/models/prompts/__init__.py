"""Prompts: families' templates, marked texts, and encodings that no message can forge."""
