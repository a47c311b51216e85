"""Lays a text out for a translation model, and puts the translations back in place."""
