"""How well the sentences of short texts are found, in 13 languages."""
