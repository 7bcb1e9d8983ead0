"""Faults of a hub's job in plain words, each with a remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_LONG = 10.0  # seconds without a word of a worker that the others wait for
# Reasons of refusals that somebody can do something about; the others are bytes that no worker of ours sent.
_WORDS = {
    "VERSION": "another version of cdq spoke to the hub: install the same one everywhere",
    "RUN": "workers of another job came: start them with the address of their own hub",
    "REFUSED": "workers were not let in; each was told why, on its own standard error",
    "REPLACED": "two workers use the same key: make a key for each, with cdq keygen",
    "CONTENT": "contributions were not right, and were not merged; the log of the hub says whose",
    "a message of a key that is not allowed": "a key that is not allowed spoke to the hub: allow it, or look who it is",
}


def troubles(told: Mapping[str, Any]) -> list[str]:
    """Return sentences about what is wrong with a job, by the state that its hub sent; none where all is well.

    Examples
    --------
    >>> job = {"finished": False}
    >>> here = {"least": 2, "members": [0], "unreachable": [], "delivered": [], "workers": [], "counts": {}}
    >>> troubles({"service": job, **here})
    ['1 worker is here, and a round needs 2: start 1 more with cdq join.']
    """
    if "service" not in told:
        return []
    return [*_of_workers(told), *_of_refusals(told["counts"])]


def _of_workers(told: Mapping[str, Any]) -> Iterator[str]:
    away, least = told["unreachable"], told["least"]
    here = len(told["members"]) + len(told.get("waiting", ())) - len(away)
    if told["service"]["finished"]:
        return
    if not here and not away:
        yield f"Nobody learns: start {least} {_workers(least)} with cdq join."
    elif here < least:
        yield (
            f"{here or 'No'} {_workers(here)} {'is' if here == 1 else 'are'} here, and a round needs {least}: "
            f"start {least - here} more with cdq join."
        )
    for worker in told["workers"]:
        if worker["state"] == "unreachable":
            after = "rounds go on without it, " if here >= least else ""
            yield f"Worker {worker['uid']} cannot be reached: {after}it may come back at any time."
        elif worker["state"] == "learning" and told["delivered"] and (worker["seen"] or 0.0) > _LONG:
            yield f"Everybody waits for worker {worker['uid']}, which was seen {worker['seen']:.0f} s ago."


def _of_refusals(counts: Mapping[str, int]) -> Iterator[str]:
    for reason, words in _WORDS.items():
        n = counts.get(f"refused {reason}", 0)
        if n:
            yield f"{n:,} times: {words}."
    dropped = counts.get("evicted", 0)
    if dropped:
        yield f"{dropped:,} {_workers(dropped)} did not deliver in time, and rounds closed without them."


def _workers(n: int) -> str:
    return "worker" if n == 1 else "workers"
