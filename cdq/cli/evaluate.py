"""cdq evaluate: the mean return of a learner that was saved before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cdq.cli.options import JsonPath, KerasModel, alone, check_writable
from cdq.cli.parameters import argument, option

File = Annotated[Path, argument(metavar="PATH", help="A file that cdq train --save wrote.")]
Env = Annotated[
    str | None, option(metavar="ENV", help="The environment.", show_default="what the file names")
]
Episodes = Annotated[
    float | None,
    option(metavar="N", help="How many to run.", show_default="1000; 100 where they are stepped in Python"),
]

Seed = Annotated[
    int | None,
    option(
        metavar="N",
        help="Of the episodes: the same seed, the same figure.",
        show_default="follows from the file",
    ),
]


def evaluate(
    path: File,
    *,
    env: Env = None,
    network: KerasModel = None,
    episodes: Episodes = None,
    seed: Seed = None,
    json_path: JsonPath = None,
) -> None:
    """Run the greedy policy of a saved learner and report its mean return.

    [bold]Example[/bold]

    cdq evaluate taxi.safetensors --episodes 1e5
    """
    from cdq.cli.render import (
        console_for_people,
        each_task,
        mean_and_error,
        of_agents,
        per_step,
        seats,
        show_figures,
        show_policy,
        write_json,
    )
    from cdq.learner import Evaluations, QLearner, played

    check_writable(json_path)
    with alone():
        agent = QLearner.load(path, env, network=network)
    result = agent.evaluate(episodes, seed=seed)
    report: dict[str, Any] = {
        "env": agent.name,
        "path": str(path),
        "stepping": agent.stepping,
        "stepping_reason": agent.stepping_reason,
        "episodes": result.episodes,
        **played(result),
        "mean_length": result.mean_length,
    }
    if agent.agents:
        report["agents"] = {name: played(one) for name, one in result.items()}
    elif isinstance(result, Evaluations):
        report["tasks"] = [
            {"task": name, **played(one), "mean_length": one.mean_length} for name, one in result.items()
        ]
    figures = [
        ("environment", agent.name),
        ("played by", agent.stepping),
        ("because", agent.stepping_reason),
        *(seats(report) or [("mean return", mean_and_error(report))]),
        *per_step(report),
        *of_agents(report),
        *each_task(report.get("tasks", [])),
        ("mean length", f"{result.mean_length:.1f} steps, over {result.episodes:,} episodes"),
    ]
    write_json(json_path, report)
    console = console_for_people(json_path)
    show_figures(console, figures)
    if agent.model is not None:
        show_policy(console, agent.model, agent.table.policy())
