"""Engines: token ids in, completions out. The only package that imports torch; knows nothing of jobs, tenants or text."""
