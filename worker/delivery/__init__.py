"""Delivers webhooks: claims what is due, signs it, sends it, and records the attempt."""
