"""What the queue costs: an engine that does nothing, everything on one core, beside the usual ways to use Celery.

The paths are run by their HTTP surfaces alone, and every result of every run is checked.
"""
