"""The fault harness: real servers and processes, an engine that is a pure function, and a client with its own records.

``python -m tests.faults --seeds 20`` (``make faults``) injects every fault of ``run.FAULTS``. At the end it compares
what was acknowledged with what the system reports: nothing may be lost, doubled, misaligned or stuck.
"""
