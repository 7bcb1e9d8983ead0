"""Turns at the GIL; nothing of it is for Python."""
