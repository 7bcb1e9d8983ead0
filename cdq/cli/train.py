"""cdq train: learn, and report what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cdq import schedules
from cdq.cli.options import DEFAULT, Dtype, EnvId, Gamma, JsonPath, NumEnvs, Workers, check_writable
from cdq.cli.render import console_for_people, mean_and_error, quantity, show_figures, show_policy, write_json
from cdq.errors import ConfigError
from cdq.learner import QLearner
from cdq.merges import NAMES as MERGES
from cdq.until import MeanReturn, OptimalWithin, Until

_INTERRUPTED = 130
_STEPS = 5e6
_RATES = "a number, linear:FIRST:LAST:STEPS, exponential:FIRST:LAST:STEPS"

Steps = Annotated[
    float,
    typer.Option(metavar="N", help="Environment steps, summed over all workers.", show_default="5e6"),
]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Same seed and number of workers: same table.", show_default="drawn, and reported"
    ),
]
StepSize = Annotated[
    str | None,
    typer.Option(
        metavar="SCHEDULE",
        help=f"One of: {_RATES}; or, by the count of a pair, rescaled-linear:GAMMA, polynomial:OMEGA.",
        show_default="rescaled-linear of gamma",
    ),
]
Exploration = Annotated[
    str, typer.Option(metavar="SCHEDULE", help=f"Chance of a random action; one of: {_RATES}.")
]
Merge = Annotated[str, typer.Option(metavar="RULE", help=f"How tables become one: {', '.join(MERGES)}.")]
SyncEvery = Annotated[str, typer.Option(metavar="N", help="Steps per worker between two merges, or auto.")]
InitialValue = Annotated[float, typer.Option(metavar="X", help="What the table holds before learning.")]
Comm = Annotated[str, typer.Option(metavar="NAME", help="Communicator: a name, a URL, or auto.")]
UntilOptimal = Annotated[
    float | None, typer.Option(metavar="X", help="Stop once certified to be within X of optimal.")
]
UntilReturn = Annotated[
    float | None, typer.Option(metavar="X", help="Stop once the greedy policy's mean return is X or more.")
]
Save = Annotated[Path | None, typer.Option(metavar="PATH", help="Write what was learnt to this file.")]


def train(
    env: EnvId,
    *,
    steps: Steps = _STEPS,
    workers: Workers = DEFAULT["workers"],
    seed: Seed = DEFAULT["seed"],
    gamma: Gamma = DEFAULT["gamma"],
    step_size: StepSize = DEFAULT["step_size"],
    exploration: Exploration = str(DEFAULT["exploration"]),
    merge: Merge = DEFAULT["merge"],
    sync_every: SyncEvery = DEFAULT["sync_every"],
    num_envs: NumEnvs = DEFAULT["num_envs"],
    dtype: Dtype = DEFAULT["dtype"],
    initial_value: InitialValue = DEFAULT["initial_value"],
    comm: Comm = DEFAULT["comm"],
    until_optimal: UntilOptimal = None,
    until_return: UntilReturn = None,
    save: Save = None,
    json_path: JsonPath = None,
) -> None:
    """Learn an environment and report what came of it.

    The report: the greedy policy's mean return, its exact value beside the
    optimal one, how far from optimal it can be, the speed, and the policy
    drawn as arrows where the environment is a grid. Ctrl-C stops after the
    last whole round, reports and saves as usual, and exits with status 130.

    [bold]Examples[/bold]

    cdq train FrozenLake-v1 --workers 2
    cdq train Taxi-v4 --steps 2e7 --workers 2 --save taxi.safetensors
    cdq train CliffWalking-v1 --exploration linear:1:0.05:1e6
    cdq train FrozenLake8x8-v1 --until-optimal 0.01 --json -
    """
    until = _until(until_optimal, until_return)
    check_writable(save)
    check_writable(json_path)
    agent = QLearner(
        env,
        gamma=gamma,
        step_size=None if step_size is None else schedules.parse(step_size),
        exploration=schedules.parse(exploration),
        merge=merge,
        sync_every=_window(sync_every),
        workers=workers,
        num_envs=num_envs,
        comm=comm,
        dtype=dtype,
        seed=seed,
        initial_value=initial_value,
    )
    report = _learn(agent, steps, until)
    console = console_for_people(json_path)
    show_figures(console, _figures(report))
    show_policy(console, agent.model, agent.table.policy())
    if save is not None:
        agent.save(save)
    write_json(json_path, report)
    if report["interrupted"]:
        raise typer.Exit(_INTERRUPTED)


def _learn(agent: QLearner, steps: float, until: Until | None) -> dict[str, Any]:
    """Learn and return the report, also when Ctrl-C came before the end."""
    interrupted = False
    try:
        agent.learn(steps, until=until)
    except KeyboardInterrupt:
        interrupted = True
    report = {**agent.report(), "interrupted": interrupted}
    if until is not None:
        stopped = agent.steps < steps and not interrupted
        report["until_reached"] = stopped or _holds(until, report)
    return report


def _until(optimal: float | None, mean_return: float | None) -> Until | None:
    if optimal is not None and mean_return is not None:
        raise ConfigError("--until-optimal and --until-return were both given; choose one")
    if optimal is not None:
        return OptimalWithin(optimal)
    return None if mean_return is None else MeanReturn(mean_return)


def _holds(until: Until, report: Mapping[str, Any]) -> bool:
    if isinstance(until, OptimalWithin):
        return bool(report["gap"] <= until.tolerance)
    return bool(report["mean_return"] >= until.at_least)


def _window(text: str) -> str | int:
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if value.is_integer() else text


def _figures(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    workers = "1 worker" if report["workers"] == 1 else f"{report['workers']} workers"
    figures = [
        ("environment", f"{report['env']}, {workers}, seed {report['seed']}"),
        ("mean return", f"{mean_and_error(report)} (greedy policy)"),
        ("policy value", f"{report['policy_value']:.6g} from the start, gamma {report['gamma']:g}"),
        ("optimal value", f"{report['optimal_value']:.6g}"),
        ("gap", f"at most {report['gap']:.2g}"),
        ("speed", f"{quantity(report['steps_per_second'])} steps/s"),
        ("steps", f"{report['steps']:,} in {report['seconds']:.2f} s"),
        ("rounds", f"{report['rounds']:,}, {report['bytes']:,} bytes exchanged"),
    ]
    if "until_reached" in report:
        figures.append(("goal", "reached" if report["until_reached"] else "not reached"))
    if report["interrupted"]:
        figures.append(("interrupted", "this is the last whole round"))
    return figures
