"""Loops that workers run: of a model, of compiled environments, of environments in Python, and of logs."""
