"""Merging of the workers' tables, pair by pair, in rank order."""
