"""Bodies, forms and ids as HTTP carries them; knows nothing of jobs."""
