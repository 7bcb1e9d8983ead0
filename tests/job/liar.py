"""A worker that delivers a wrong value of the right form, once: ``python tests/start.py tests.job.liar URL``."""

from __future__ import annotations

from typing import Any

from cdq.comm.contribution import Received
from cdq.job import join
from cdq.job.increments import open_increment
from cdq.job.member import Member
from cdq.job.messages import open_contribution

LIE = 0.5


def lie(payload: Received, welcome: Any) -> bytes:
    """Return a contribution with another value, or gain, of the pair that it touched first."""
    changed = bytearray(payload)
    values = (
        open_increment(changed, welcome.shape).gain
        if welcome.asynchronous
        else open_contribution(changed, welcome.shape).values
    )
    values[0] = LIE
    return bytes(changed)


class Liar(Member):
    lied = False

    def learn(self) -> Received:
        payload = super().learn()
        if self.lied:
            return payload
        self.lied = True
        return lie(payload, self._welcome)


if __name__ == "__main__":
    join.Member = Liar  # type: ignore[misc, attr-defined]
    join.main()
