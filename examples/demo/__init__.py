"""The demonstration of ``make demo``: two bulk jobs on a complete installation on this machine.

It uses only the HTTP API, as any user would.
"""
