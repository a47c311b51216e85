"""What the engine does an item, beside transformers, CTranslate2 and OpenVINO GenAI: one core, the same model, the same
items, and outputs of the same lengths.
"""
