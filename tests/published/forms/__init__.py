"""How the files of a repository are written, form by form. Knows nothing of single repositories."""
