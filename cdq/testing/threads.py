"""Runs a function on communicators whose ranks are threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from cdq.comm.base import Communicator


def run_in_threads(
    communicators: Sequence[Communicator], function: Callable[[Communicator], Any]
) -> list[Any]:
    """Call `function` with each communicator, each in a thread of its own, and end them all.

    Returns
    -------
    list
        Results in the order of `communicators`: the value that `function` returned, or the exception that it
        raised; an exception aborts its communicator, otherwise it is closed.
    """
    results: list[Any] = [None] * len(communicators)

    def run(index: int, comm: Communicator) -> None:
        try:
            with comm:
                results[index] = function(comm)
        except BaseException as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=pair, name="rank") for pair in enumerate(communicators)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
