"""The demonstration that ``make demo`` runs: two bulk jobs through a whole installation on this machine.

Written as a user of the HTTP surface would write it; nothing here reaches into the system.
"""
