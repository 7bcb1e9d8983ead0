"""Environments in C, and the reading of observations."""
