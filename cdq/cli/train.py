"""cdq train: learn, and report the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click

from cdq.cli.completion import environments
from cdq.cli.hyperparameters import arguments_of, fitted, takes_hyperparameters
from cdq.cli.options import (
    CheckpointEvery,
    EnvArgs,
    Fleet,
    JsonPath,
    LogTo,
    OptionalEnvId,
    Progress,
    Steps,
    UntilOptimal,
    UntilReturn,
    check_apart,
    check_writable,
    env_kwargs_of,
    fleet_of,
    given_in,
    loggers_of,
    progress_by,
    until_of,
)
from cdq.cli.parameters import option
from cdq.errors import CdqError, ConfigError
from cdq.settings import MAY_CHANGE

if TYPE_CHECKING:
    from cdq.job import Hosting
    from cdq.learner import QLearner
    from cdq.training import Callback, Until

_INTERRUPTED = 130
_WITH_RESUME = {*MAY_CHANGE, "network", "steps", "save", "progress", "log_to", "json_path", "env_again"}
Checkpoint = Annotated[
    Path | None, option(metavar="DIR", help="Write checkpoints there; SIGTERM then ends with one.")
]
New = Annotated[
    bool, option("--new", help="With --checkpoint: begin anew, and delete the checkpoints there.")
]
Resume = Annotated[
    Path | None,
    option(metavar="DIR", help="Go on from the newest checkpoint there, to the steps it was to reach."),
]
EnvAgain = Annotated[
    str | None,
    option(
        "--env",
        metavar="ENV",
        help="With --resume: the environment, where it is of a module (module:Env-v0).",
        show_default="what the checkpoint names",
        shell_complete=environments,
    ),
]
Save = Annotated[Path | None, option(metavar="PATH", help="Write what was learnt to this file.")]


@takes_hyperparameters(after="steps")
def train(
    context: click.Context,
    env: OptionalEnvId = None,
    *,
    env_arg: EnvArgs = None,
    fleet: Fleet = None,
    steps: Steps = 5e6,
    checkpoint: Checkpoint = None,
    checkpoint_every: CheckpointEvery = None,
    new: New = False,
    resume: Resume = None,
    env_again: EnvAgain = None,
    until_optimal: UntilOptimal = None,
    until_return: UntilReturn = None,
    save: Save = None,
    progress: Progress = 10.0,
    log_to: LogTo = None,
    json_path: JsonPath = None,
    **hyperparameters: Any,
) -> None:
    """Learn an environment and report what came of it.

    The report: the greedy policy's mean return, its exact value beside the
    optimal one, how far from optimal it can be, the speed, and the policy
    drawn as arrows where the environment is a grid. Ctrl-C stops after the
    last whole round, reports and saves as usual, and exits with status 130.
    Under mpiexec or srun each process is one worker, and rank 0 reports.

    Where --checkpoint names the checkpoints of a run, the same command goes
    on with it, to --steps in all; --new begins anew.

    With --resume, which takes everything else from the checkpoint, only
    --workers, --comm, --steps (so many more), --save, --progress, --log-to,
    --json, --env and --network may be given. --env, and --network MODULE:FUNCTION where a Keras model is
    learnt, say that a module of yours may be imported: no file says so.

    [bold]Examples[/bold]

    cdq train FrozenLake-v1 --workers 2
    cdq train FrozenLake-v1 --env-arg is_slippery=false
    cdq train Taxi-v4 --steps 2e7 --workers 2 --save taxi.safetensors
    cdq train CliffWalking-v1 --exploration linear:1:0.05:1e6
    cdq train FrozenLake8x8-v1 --until-optimal 0.01 --json -
    cdq train FrozenLake8x8-v1 --tasks goals:14,37,60
    cdq train CartPole-v1 --network 64,64
    mpiexec -n 4 cdq train Taxi-v4 --steps 1e9 --checkpoint runs/taxi
    mpiexec -n 4 cdq train --resume runs/taxi
    """
    from cdq.cli.again import begin_anew, run_in, steps_to_go
    from cdq.learner import QLearner

    check_apart(save=save, json=json_path, checkpoint=checkpoint, resume=resume)
    until, bar = until_of(until_optimal, until_return), progress_by(progress)
    callbacks = [*([] if bar is None else [bar]), *loggers_of(log_to)]
    if resume is not None:
        given = given_in(context)
        options = arguments_of(hyperparameters)
        agent = _resumed(resume, given, env_again, {name: options[name] for name in (*MAY_CHANGE, "network")})
        finish(agent, steps if "steps" in given else None, None, save, json_path, callbacks=callbacks)
        return
    if env_again is not None:
        raise ConfigError(f"--env belongs to --resume; name the environment by itself: cdq train {env_again}")
    if new and checkpoint is None:
        raise ConfigError("--new belongs to --checkpoint; name the directory to begin anew in")
    if env is None:
        raise ConfigError(
            "no environment was given: name one, as in cdq train FrozenLake-v1, or use --resume DIR"
        )
    given = given_in(context)
    options, steps = fitted(env, arguments_of(hyperparameters), steps, given)
    env_kwargs = fleet_of(fleet, env_kwargs_of(env_arg))
    if checkpoint is not None and not new:
        begun = run_in(checkpoint, env, env_kwargs, options, given=given, every=checkpoint_every)
        if begun is not None:
            more, until = steps_to_go(begun, steps if "steps" in given else None, until)
            finish(begun, more, until, save, json_path, callbacks=callbacks)
            return
    options |= {"checkpoint": checkpoint, "checkpoint_every": checkpoint_every}
    agent = QLearner(env, env_kwargs=env_kwargs, **options)
    if checkpoint is not None and agent.rank == 0 and new:
        check_writable(save)
        check_writable(json_path)
        begin_anew(checkpoint)
    finish(agent, steps, until, save, json_path, callbacks=callbacks)


def _resumed(directory: Path, given: set[str], env: str | None, changed: Mapping[str, Any]) -> QLearner:
    from cdq.learner import QLearner

    others = sorted(given - {"resume", *_WITH_RESUME})
    if others:
        names = ", ".join("ENV" if name == "env" else "--" + name.replace("_", "-") for name in others)
        raise ConfigError(f"{names} cannot be given with --resume: the run goes on as it was begun")
    return QLearner.resume(directory, env, **changed)


def finish(
    agent: QLearner,
    steps: float | None,
    until: Until | None,
    save: Path | None,
    json_path: Path | None,
    *,
    callbacks: Sequence[Callback] = (),
    hosting: Hosting | None = None,
) -> None:
    """Learn and, on rank 0, report.

    Parameters
    ----------
    agent : QLearner
        The learner.
    steps : float or None
        Number of further steps; None: as many as are left after a resume.
    until : Until or None
        Condition on which to stop sooner.
    save, json_path : Path or None
        Files for the learner, and for the report.
    callbacks : sequence of Callback
        Callbacks of `learn`, which shows no progress by itself.
    hosting : Hosting, optional
        Address and rules of a hub, for workers that join.

    Raises
    ------
    click.exceptions.Exit
        With status 130, if Ctrl-C ended it.
    """
    from cdq.cli.again import holds
    from cdq.cli.render import write_json

    if agent.rank > 0:
        _learn(agent, steps, until, callbacks, hosting)
        return
    check_writable(save)
    check_writable(json_path)
    begun, target = agent.steps, agent.steps + (agent.steps_left if steps is None else steps)
    try:
        interrupted = _learn(agent, steps, until, callbacks, hosting)
    except CdqError as error:
        if save is None or agent.steps == begun:
            raise
        raise CdqError(f"{error}; {_saved(agent, save)}") from error
    report = {**agent.report(), "interrupted": interrupted}
    if agent.until is not None:
        report["until_reached"] = (agent.steps < target and not interrupted) or holds(agent.until, report)
    with ExitStack() as last:  # all of it from the last, whatever fails: files come before standard output
        last.callback(_show, agent, report, json_path)
        last.callback(write_json, json_path, report)
        if save is not None:
            last.callback(agent.save, save)
    if interrupted:
        raise click.exceptions.Exit(_INTERRUPTED)


def _saved(agent: QLearner, path: Path) -> str:
    """Save the table of the last whole round of a run that failed; return what became of that."""
    try:
        agent.save(path)
    except CdqError as error:
        return f"what was learnt until the last round is lost: {error}"
    return f"what was learnt until the last round is in {path}"


def _show(agent: QLearner, report: Mapping[str, Any], json_path: Path | None) -> None:
    from cdq.cli.render import console_for_people, show_figures, show_hints, show_policy

    console = console_for_people(json_path)
    show_figures(console, _figures(report))
    if agent.model is not None:
        show_policy(console, agent.model, agent.table.policy())
    show_hints(console, report["hints"])


def _learn(
    agent: QLearner,
    steps: float | None,
    until: Until | None,
    callbacks: Sequence[Callback],
    hosting: Hosting | None,
) -> bool:
    """Learn; return whether Ctrl-C came before the end."""
    try:
        if steps is not None or agent.steps_left:
            agent.learn(steps, until=until, callbacks=callbacks, verbose=0, hosting=hosting)
    except KeyboardInterrupt:
        return True
    return False


def _solved(report: Mapping[str, Any]) -> str:
    """Return what the environment's threshold makes of the mean return, where it has one."""
    if report["solved"] is None:
        return ""
    return (
        f", {'solved' if report['solved'] else 'not solved'}: the threshold is {report['reward_threshold']:g}"
    )


def _certified(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the certified distance from optimal, where the model is known."""
    from cdq.storage import in_digits

    if report["gap"] is None:
        return []
    return [
        ("policy value", f"{in_digits(report['policy_value'], 6)} from the start, gamma {report['gamma']:g}"),
        ("optimal value", f"{in_digits(report['optimal_value'], 6)}"),
        ("gap", f"at most {in_digits(report['gap'], 2)}"),
    ]


def _figures(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    from cdq.cli.render import each_task, mean_and_error, of_agents, per_step, quantity, seats

    workers = "1 worker" if report["workers"] == 1 else f"{report['workers']} workers"
    figures = [
        ("environment", f"{report['env']}, {workers}, seed {report['seed']}"),
        ("learnt by", f"{report['stepping']}; {report['representation']}"),
        ("because", report["stepping_reason"]),
        *(seats(report) or [("mean return", f"{mean_and_error(report)} (greedy policy){_solved(report)}")]),
        *per_step(report),
        *of_agents(report),
        *each_task(report.get("tasks", [])),
        *_certified(report),
        ("speed", f"{quantity(report['steps_per_second'])} steps/s"),
        ("steps", f"{report['steps']:,} in {report['seconds']:.2f} s"),
        ("rounds", f"{report['rounds']:,}, {report['bytes']:,} bytes exchanged"),
    ]
    if "until_reached" in report:
        figures.append(("goal", "reached" if report["until_reached"] else "not reached"))
    if report["interrupted"]:
        figures.append(("interrupted", "this is the last whole round"))
    return figures
