"""The grammar from which training texts are drawn: words, phrases, clauses and sentences."""
