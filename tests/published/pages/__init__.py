"""The pages on models: docs/published-models.md, and the examples of docs/models.md and docs/shrinking.md."""
