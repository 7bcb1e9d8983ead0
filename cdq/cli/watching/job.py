"""A job as its hub tells of it: figures, curves, table and workers, also while the hub is gone."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from cdq.cli.output import printable
from cdq.cli.status import figures, may_be_done
from cdq.cli.troubles import troubles
from cdq.cli.watching.workers import Workers
from cdq.comm.zmq.keys import Keys
from cdq.errors import CdqError, CommError
from cdq.job.membership.connection import status

_PATIENCE = 3.0  # seconds in which a hub must answer that was there before
# Figures of `cdq status` that the page shows elsewhere, or that say nothing to one who looks.
_ELSEWHERE = {"environment", "worker", "epoch", "staleness", "messages"}


class JobWatch:
    """Looks at a hub, again and again.

    Parameters
    ----------
    url : str
        Address of the hub.
    timeout : float
        Seconds in which it must answer at first.
    keys : Keys, optional
        Keys for ``zmq+curve``.
    """

    def __init__(self, url: str, timeout: float, keys: Keys | None) -> None:
        self._url, self._timeout, self._keys = url, timeout, keys
        self._workers = Workers()
        self._gone_since: str | None = None
        self._told: Mapping[str, Any] = {}

    def look(self) -> dict[str, Any]:
        """Return the picture of the job; raise `CommError` if its hub never answered, or has no job of this cdq."""
        now = time.strftime("%H:%M:%S")
        try:
            shown = self._with_hub(status(self._url, self._timeout, self._keys, picture=True), now)
        except CdqError:  # also of keys that were deleted meanwhile
            if not self._told:
                raise
            return self._without_hub(now)
        self._timeout = min(self._timeout, _PATIENCE)
        return shown

    def _with_hub(self, told: Mapping[str, Any], now: str) -> dict[str, Any]:
        if "size" in told:
            raise CommError(f"{self._url}: this hub has ranks, and no job to watch; ask it by cdq status")
        try:
            if told["run"] != self._told.get("run"):  # another job has the address by now
                self._workers = Workers()
            run = {**_job(told, self._url), **_state_of(told), "troubles": troubles(told)}
            picture = {"curves": told["picture"]["curves"], "table": told["picture"]["table"]}
            if self._gone_since is not None:
                self._workers.note(now, "the hub is back")
            self._workers.see(told, now)
            json.dumps([picture, run, self._workers.rows(known=True)], allow_nan=False)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise CommError(
                f"{self._url}: the hub has another cdq ({error!r}); use the same one to watch it"
            ) from None
        self._gone_since, self._told = None, told
        return {**picture, **self._of_workers(), "run": run}

    def _without_hub(self, now: str) -> dict[str, Any]:
        done = bool(self._told["service"]["finished"]) or may_be_done(self._told)
        if self._gone_since is None:
            self._gone_since = now
            self._workers.note(now, "the hub has ended" if done else "the hub does not answer any more")
        says = (
            "The job is done, and its hub has ended."
            if done
            else f"The hub has not answered since {self._gone_since}. Started again with the same command, it goes "
            "on where it was; the figures below are the last that it told."
        )
        state = "ended" if done else "gone"
        run = _job(self._told, self._url)
        figures = [(name, text) for name, text in run["figures"] if name != "time left"]
        return {"run": {**run, "figures": figures, "state": state, "says": says}, **self._of_workers()}

    def _of_workers(self) -> dict[str, Any]:
        known = self._gone_since is None
        return {"workers": self._workers.rows(known=known), "events": list(self._workers.events)}


def _job(told: Mapping[str, Any], url: str) -> dict[str, Any]:
    """Return what a page says of a job at its top."""
    job = told["service"]
    shown = [(name, printable(text)) for name, text in figures(told) if name.split()[0] not in _ELSEWHERE]
    return {
        "title": printable(str(job["environment"]))[:200],
        "source": url,
        "share": min(job["steps"] / job["target"], 1.0) if job["target"] else 1.0,
        "figures": shown,
        "troubles": [],
    }


def _state_of(told: Mapping[str, Any]) -> dict[str, str]:
    if told["service"]["finished"]:
        return {"state": "ended", "says": "The job is done: there is nothing more to learn."}
    if len(told["members"]) < told["least"]:
        return {"state": "waiting", "says": "The hub waits for workers."}
    return {"state": "running", "says": "The workers learn."}
