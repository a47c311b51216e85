"""Commands for who may call an API, and what was used."""
