"""Runs the whole system on one machine: its processes, its servers, and the secrets that they share."""
