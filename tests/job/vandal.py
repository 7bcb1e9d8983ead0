"""A worker that means harm, once, to those it plays with: ``python tests/start.py tests.job.vandal URL``."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from cdq.comm.contribution import Received
from cdq.job import join
from cdq.job.member import Member
from cdq.job.stretches.ending import End


def scribble(commons: Any) -> None:
    """Write rubbish wherever workers read, and the hub."""
    parts = [commons.order, commons.text, commons.known, commons.visits, commons.barrier]
    for part in (*parts, *(each for desk in commons.desks for each in desk)):
        part.reshape(-1).view(np.uint8)[:] = 0xC3


class Vandal(Member):
    harm = os.environ.get("CDQ_HARM", "")

    def learn(self) -> Received | None:
        payload = super().learn()
        if not self.plays or payload is None or not Vandal.harm:
            return payload
        how, Vandal.harm = Vandal.harm, ""
        if how == "scribble":
            assert self._player is not None
            scribble(self._player._commons)
        elif how == "other":  # another checksum of the table, at the end of the numbers
            changed = bytearray(payload)
            changed[8 * (len(End._fields) - 1)] ^= 1
            return bytes(changed)
        elif how == "long":
            return bytes(1 << 20)
        elif how == "late":
            time.sleep(60)
        return payload


if __name__ == "__main__":
    join.Member = Vandal  # type: ignore[misc, attr-defined]
    join.main()
