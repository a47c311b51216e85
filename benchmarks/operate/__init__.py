"""Measures what an operator asks of a large installation: a scrape, the overview, lists, a job, the workers."""
