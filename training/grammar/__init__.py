"""The grammar that training texts are drawn from: words, phrases, clauses and sentences."""
