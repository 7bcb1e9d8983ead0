"""Cython's own code for memoryviews, which the modules of the core share; nothing of it is for Python."""
