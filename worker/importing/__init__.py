"""Brings published models into the form that lengthwise loads: their weights, configurations and tokenizers."""
