"""C kernels for the CPU, where torch's would make a row's answer depend on its neighbours, and their Python bindings.

A C compiler builds them on the machine that runs them. Without one everything runs on torch's kernels, only slower.
"""
