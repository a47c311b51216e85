"""The OpenAI surface: files, and batches until a job has their lines."""
