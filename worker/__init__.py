"""The workers: generate, deliver and sweep; knows nothing of HTTP requests."""
