"""A worker that means harm, once, to those it plays with: ``python tests/start.py tests.job.vandal URL``."""

from __future__ import annotations

import os
import threading
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


def mislead(commons: Any) -> None:
    """Write numbers wherever workers tell each other how much there is, or where: boards, parts, order, records."""
    for desk in commons.desks:
        board = desk.board.view(np.int64)
        board[:2] = 1 << 40, 3  # pairs touched, and a request
        board[8:12] = [
            *np.random.default_rng().choice([-1, 0, 7, 1 << 40, -(1 << 62)], 4)
        ]  # head of the merged part
        desk.board[96:] = 0xC3
        desk.records["parts"][:], desk.records["steps"][:] = 1 << 40, -1
        desk.tallies[:] = np.nan
    commons.order["most_rows"], commons.order["text"] = 0, 1 << 40


def mislead_for_a_while(commons: Any) -> None:
    """Do so again and again, while this worker plays with the others."""
    for _ in range(300):
        mislead(commons)
        time.sleep(0.002)


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
        elif how == "mislead":
            assert self._player is not None
            threading.Thread(target=mislead_for_a_while, args=(self._player._commons,)).start()
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
