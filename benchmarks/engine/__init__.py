"""Measures the engine against transformers, CTranslate2 and OpenVINO GenAI.

Every system has one core and runs the same model on the same items, with outputs of the same lengths.
"""
