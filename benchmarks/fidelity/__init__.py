"""Measures how near quantized models stay to fp32: on real models, beside OpenVINO and CTranslate2."""
