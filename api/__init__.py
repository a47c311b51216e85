"""The HTTP surface: takes jobs, answers with their state and results; knows nothing of engines."""
