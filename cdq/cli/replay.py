"""cdq replay: a hub's job learnt again, in one process."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Annotated

from cdq.cli.options import JsonPath, KerasModel, check_writable
from cdq.cli.parameters import argument

Directory = Annotated[Path, argument(metavar="DIR", help="What cdq hub --checkpoint names.")]


def replay(directory: Directory, *, network: KerasModel = None, json_path: JsonPath = None) -> None:
    """Learn a hub's job again, in this process, from its journal, and compare every round.

    The workers that came, went and died then do so again; the digest is
    that of the hub's report. It takes as long as one worker would.

    [bold]Example[/bold]

    cdq replay taxi --json replay.json
    """
    from cdq.cli.render import console_for_people, show_figures, write_json
    from cdq.job import replay as learn_again
    from cdq.learner.members import task_of

    check_writable(json_path)
    rounds: list[int] = [0]
    started = time.perf_counter()
    table = learn_again(directory, told=rounds.append, make=partial(task_of, network=network))
    report = {
        "env": table.environment,
        "path": str(directory),
        "rounds": rounds[-1],
        "seconds": time.perf_counter() - started,
        "digest": table.digest(),
    }
    figures = [
        ("environment", str(report["env"])),
        ("rounds", f"{rounds[-1]:,}, every one as the journal says"),
        ("time", f"{report['seconds']:.2f} s"),
        ("table", str(report["digest"])),
    ]
    write_json(json_path, report)
    show_figures(console_for_people(json_path), figures)
