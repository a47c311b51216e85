"""Batches inside a model: stepped, sampled or searched until every row has ended."""
