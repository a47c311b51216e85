"""OpenAI's surface: files, batches, and the same questions one at a time, all of them jobs like any other."""
