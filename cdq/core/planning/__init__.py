"""Exact answers on a finite model: Bellman backups and the graph of its states."""
