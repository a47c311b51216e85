"""Request bodies, compressed answers, ids and error documentation. Knows nothing of jobs."""
