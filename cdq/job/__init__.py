"""A hub's job: one process holds the table, workers that come and go learn windows for it.

- `asynchronous`: The hub's part without rounds: each contribution is applied when it arrives, to a table that changed
  meanwhile.
- `contributions`: Contributions that a hub stores until a checkpoint includes them: a restart applies them again.
- `faults`: Points at which a test makes the hub or a worker fail; where no test does, each costs one look at a
  variable.
- `handover`: Parcels on their way to processes that were just started, through a socket that each inherited, and
  their answers.
- `handshake`: Messages of a worker and the hub when they meet: versions and arithmetic, then the job and its present
  state.
- `hub`: A call of `learn` whose workers are a hub's: local processes that it starts, or processes that join.
- `increments`: Asynchronous contributions: how much of the hub's value each visit left, and what was added to it.
- `job`: The job of a hub: what its workers learn, and the task and the table of each.
- `join`: A process that takes part in a job: ``python -m cdq.job.join URL [SECONDS]``.
- `journal`: The journal of a job: a line per round, durable before any answer to a worker; with it every run can be
  repeated.
- `local`: Local workers: processes that a call of `learn` starts, and that end with it.
- `member`: A worker's part of a job: learn the window that the hub names, contribute it, take over the merged table.
- `messages`: Messages between hub and workers in each round: layouts, and the checks before anything is believed.
- `recovery`: Restart of the hub: rounds of the journal that the newest checkpoint lacks, applied as they were stored.
- `opening`: Opening of a service on the state of a call: what a hub can do, and the course of its windows.
- `parent`: The tie of a process to the one that started it, with which it ends.
- `replay`: Replay of a job in this process: every round is learnt again, and compared with the journal.
- `service`: The hub's part of learning: it opens windows, merges the contributions, and keeps the table.
- `store`: Beginning of a job, in a file of its own: with the journal, all that it takes to repeat the job.
- `tasks`: Tasks of a job as messages and files hold them: a model as it is, an environment by what makes it again.
- `networks/`: Jobs whose workers train a network: the hub averages what each window has learnt.
- `stretches/`: Workers of one machine that share memory: they play rounds one after another without the hub, and then
  tell it.
- `membership/`: Membership of a job: the workers that take part, exactly once, in each round.
"""

from cdq.job.handover import answer, hand_over, receive
from cdq.job.hub import Hosting, env_in, holds_fleet, last_start
from cdq.job.local import learn, processes
from cdq.job.parent import PARENT, end_with_parent
from cdq.job.replay import goal_of, replay

__all__ = [
    "PARENT",
    "Hosting",
    "answer",
    "end_with_parent",
    "env_in",
    "goal_of",
    "hand_over",
    "holds_fleet",
    "last_start",
    "learn",
    "processes",
    "receive",
    "replay",
]
