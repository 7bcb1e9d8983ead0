"""Ranks of a fixed group over ZeroMQ: a communicator, and the relay that connects them.

- `collectives`: Messages of ranks and their relay inside a frame: calls, parts, and the reason for which a call
  failed.
- `communicator`: Ranks as processes that a hub connects.
- `greeting`: Greeting of a rank and its hub: the rank asks for its number, and is welcomed when all have come.
- `launch`: Local processes as the ranks of a hub of their own: started together, ended together.
- `meeting`: Ranks whose launcher starts no relay: rank 0 hosts it in a thread of its own, and the others find it there.
- `relay`: The hub of a fixed number of ranks, as a machine: it carries collectives, and knows present and lost ranks.
"""
