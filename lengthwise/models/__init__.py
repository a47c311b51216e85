"""Models as files: the catalog that names them, their tokenizers and their templates. No weights are read here."""
