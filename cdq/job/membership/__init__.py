"""Membership of a job: who takes part, exactly once, in which round.

- `connection`: The worker's shell: a socket and the clock around a machine that decides everything; and asking a hub
  how it is.
- `events`: Events and actions of the machines that keep a job's members, and the service that merges for them.
- `fence`: Which frames are let through: those of a session, with what the service takes; and which refusals are
  answered.
- `hub_machine`: The hub as a machine: membership, rounds and exactly-once, without sockets, clocks or threads.
- `roster`: Who takes part: workers by number, by what they are known by, and by the connection they are reached
  through.
- `welcomes`: Whose turn it is to be welcomed: a WELCOME holds a whole table, and who asks for many may take none.
- `worker_machine`: The worker's side as a machine: joins, submits, resends what is not acknowledged; no sockets,
  clocks or threads.
"""
