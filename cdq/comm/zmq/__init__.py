"""Ranks and workers as peers of a hub, over ZeroMQ. Importing this imports nothing of pyzmq."""
