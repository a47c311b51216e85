"""Measures what the queue costs, against the usual ways to use Celery: a no-op engine, everything on one core.

Every system is used through its HTTP API only. Every result of every run is checked.
"""
