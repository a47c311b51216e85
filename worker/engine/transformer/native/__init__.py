"""Kernels in C for the CPU, where torch's are not made for what is asked: rows that do not see each other.

They take the place of torch's where a compiler is at hand; without one everything runs as well, only slower.
"""
