"""OpenAI's API: files, batches, and single requests that wait for their answer. Each is an ordinary job inside."""
