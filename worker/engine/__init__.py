"""Engines: token ids in, completions out. Only here is torch imported; knows nothing of jobs, tenants or text."""
