"""Groups in which the help of a command with many options shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# Fewer are read as one list.
_MANY = 12
# Title of each group, and the parameters of commands whose options it holds.
GROUPS = {
    "Environment": "env env_again env_arg fleet key actions stepping masks num_envs opponent groups tasks",
    "Learning": "steps seed gamma step_size exploration rule",
    "Q-function": "features network bins table dtype initial_value",
    "Workers": "workers comm merge sync_every overlap per_worker federation",
    "Hub": "bind mode durability staleness round_timeout",
    "Security": "keys insecure",
    "Checkpoints": "checkpoint checkpoint_every new resume",
    "When to stop": "until_optimal until_return",
    "Output": "save json_path progress log_to log metrics",
}


def groups_of(names: Iterable[str]) -> Mapping[str, str]:
    """Return the title of the group of each parameter of a command, by its name; none where there are few.

    Examples
    --------
    >>> groups_of(["env", "seed"])
    {}
    """
    known = {name: title for title, members in GROUPS.items() for name in members.split()}
    found = {name: known[name] for name in names if name in known}
    return found if len(found) > _MANY else {}
