"""Compiled loops over buffers; imports nothing from the rest of cdq."""
