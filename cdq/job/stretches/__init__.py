"""Workers of one machine that share memory: they play rounds one after another without the hub, and then tell it.

- `commons`: Memory that workers of a hub's machine share: tables, barrier, records, and what to play next.
- `ending`: Message of a worker at the end of a stretch of rounds, and the checks before it is believed.
- `group`: Group of workers that play together: the hub's part, which offers the memory and says how far to play.
- `offers`: Offer of memory to workers, at the end of a result: where it is, what to write there, and who is to play.
- `player`: A worker's part: stretches of rounds, with the others of its machine.
- `service`: The hub's part of a job whose workers may play together: it takes over what a stretch has come to.
"""
