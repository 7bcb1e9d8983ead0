"""Membership of a job: the workers that take part, exactly once, in each round.

- `connection`: Shell of the worker: a socket and the clock around a machine that decides everything; and a hub's
  status.
- `events`: Events and actions of the machines that keep a job's members, and the service that merges for them.
- `fence`: Check of frames: those of a session pass, with what the service takes; some refusals are answered.
- `hub_machine`: The hub as a machine: membership, rounds and exactly-once, without sockets, clocks or threads.
- `replies`: Replies of a hub: messages and notes to the log, as actions in the order in which they are to be taken.
- `roster`: Workers that take part: found by number, by identity, and by the connection through which they are
  reached.
- `together`: Members that do their work together: all of them deliver, and the same, or all begin
  again.
- `welcomes`: Order in which workers are welcomed: a WELCOME holds a whole table, and a worker that asks for many may
  take none.
- `worker_machine`: The worker's side as a machine: joins, submits, resends until it is acknowledged; no sockets,
  clocks or threads.
"""
