"""The fault harness: real servers and processes, a pure-function engine, and a client that keeps its own list.

``python -m tests.faults --seeds 20`` (``make faults``) injects every fault of ``fault.FAULTS`` and compares what was
acknowledged with what the system says at the end: nothing lost, doubled, misaligned or stuck.
"""
