"""Local workers that share memory: they play rounds one after another without their hub, and then tell it.

- `commons`: Memory that a hub and the workers that it started share: tables, records, and what to play next.
- `member`: A local worker's part: stretches of rounds, with the others of its machine.
- `service`: The hub's part: it says when to look, and takes over what a stretch of rounds has come to.
"""
