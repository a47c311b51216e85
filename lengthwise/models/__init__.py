"""Models as files: the catalog that names them, their tokenizers and templates; no weights are read here."""
