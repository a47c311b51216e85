"""The OpenAI-compatible surface: files, and batches. A batch becomes a job of the same id once its file is read."""
