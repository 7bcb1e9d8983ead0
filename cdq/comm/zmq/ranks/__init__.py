"""Ranks of a fixed group over ZeroMQ: a communicator, and the relay that connects them.

- `collectives`: Messages of ranks and their relay inside a frame: calls, parts, and the reason for which a call
  failed.
- `communicator`: Ranks as processes that a hub connects.
- `launch`: Local processes as the ranks of a hub of their own: started together, ended together.
- `relay`: The hub of a fixed number of ranks, as a machine: it carries collectives, and knows present and lost ranks.
"""
