"""cdq hub: hold a job for workers that come and go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click

from cdq.cli.completion import environments
from cdq.cli.hyperparameters import arguments_of, fitted, takes_hyperparameters
from cdq.cli.log import logging_as
from cdq.cli.options import (
    CheckpointEvery,
    EnvArgs,
    Fleet,
    JsonPath,
    KeysDirectory,
    LogTo,
    Progress,
    Steps,
    UntilOptimal,
    UntilReturn,
    check_apart,
    env_kwargs_of,
    fleet_of,
    given_in,
    keys_in,
    loggers_of,
    progress_by,
    until_of,
)
from cdq.cli.parameters import option
from cdq.cli.train import finish
from cdq.comm.zmq.address import EXAMPLES
from cdq.errors import ConfigError, unknown_name
from cdq.settings.of_networks import OF_HUBS

if TYPE_CHECKING:
    from cdq.learner import QLearner
    from cdq.training import Goal, Until

_COMM = "zmq"  # a hub of this process
_DURABILITY = ("durable", "applied")
_MODES = ("sync", "async")
_STALENESS = 64
# Hyper-parameters that a hub has no use for, or takes otherwise.
_WITHOUT = {"overlap", "comm", "workers"}

Bind = Annotated[str, option(metavar="URL", help=f"Where to be: {EXAMPLES}.")]
Checkpoint = Annotated[
    Path, option(metavar="DIR", help="What the job keeps; a hub that is started there again goes on.")
]
Env = Annotated[
    str | None,
    option(
        metavar="ENV",
        help="A Gymnasium id.",
        show_default="what the directory's job has",
        shell_complete=environments,
    ),
]
Workers = Annotated[
    int,
    option(
        metavar="N",
        help="A round needs so many; more may join, of a fleet as many as it has environments.",
        show_default="1, or what the directory's job has",
    ),
]
Durability = Annotated[
    str,
    option(
        metavar="WHEN",
        help="What is acknowledged is safe at once (durable), or from the next checkpoint on (applied).",
    ),
]
Mode = Annotated[
    str | None,
    option(
        metavar="MODE",
        help="Rounds of all workers (sync), or each contribution applied when it comes (async).",
        show_default="sync, or what the directory's job has",
    ),
]
Staleness = Annotated[
    int,
    option(metavar="N", help="Where async: so many contributions may come between, or it is refused."),
]
RoundTimeout = Annotated[
    float | None,
    option(
        metavar="SECONDS",
        help="A round closes then without those who have not delivered.",
        show_default="it waits for who can be reached",
    ),
]
Insecure = Annotated[
    bool,
    option(
        "--insecure", help="Let anybody join and listen by zmq+tcp, or read metrics, from other machines."
    ),
]
Metrics = Annotated[
    str | None,
    option(
        metavar="HOST:PORT",
        help="Serve metrics for Prometheus there, as in 127.0.0.1:9464.",
        show_default="none",
    ),
]
Log = Annotated[str, option(metavar="FORMAT", help="Of the lines on standard error: plain or json.")]


@takes_hyperparameters(after="workers", but=_WITHOUT)
def hub(
    context: click.Context,
    *,
    bind: Bind,
    checkpoint: Checkpoint,
    env: Env = None,
    env_arg: EnvArgs = None,
    fleet: Fleet = None,
    steps: Steps = 5e6,
    workers: Workers = 1,
    until_optimal: UntilOptimal = None,
    until_return: UntilReturn = None,
    keys: KeysDirectory = None,
    mode: Mode = None,
    staleness: Staleness = _STALENESS,
    durability: Durability = "durable",
    round_timeout: RoundTimeout = None,
    insecure: Insecure = False,
    metrics: Metrics = None,
    checkpoint_every: CheckpointEvery = None,
    log: Log = "plain",
    progress: Progress = 10.0,
    log_to: LogTo = None,
    json_path: JsonPath = None,
    **hyperparameters: Any,
) -> None:
    """Hold a job for workers that come and go: they are started with cdq join URL.

    Ends with the report of cdq train when the steps are done. Killed or
    ended at any time, the same command goes on where it was.

    [bold]Examples[/bold]

    cdq hub --bind tcp://127.0.0.1:5555 --env Taxi-v4 --steps 1e8 --checkpoint taxi
    cdq hub --bind zmq+curve://0.0.0.0:5555 --keys keys/hub --env Taxi-v4 --checkpoint taxi --workers 2
    cdq hub --bind tcp://127.0.0.1:5555 --env cdq/CartPole-v0 --fleet length=0.3 --fleet length=0.9 --checkpoint poles
    """
    from cdq.comm.zmq.address import parse
    from cdq.job import Hosting, goal_of, last_start

    if durability not in _DURABILITY:
        raise ConfigError(unknown_name("durability", durability, _DURABILITY))
    if mode is not None and mode not in _MODES:
        raise ConfigError(unknown_name("mode", mode, _MODES))
    check_apart(json=json_path, checkpoint=checkpoint)
    env_kwargs = fleet_of(fleet, env_kwargs_of(env_arg))
    if env_kwargs is not None and env is None:
        what = "--env-arg" if fleet is None else "--fleet"
        raise ConfigError(f"{what} was given without --env; name the environment, too")
    last = last_start(checkpoint)
    hosting = Hosting(
        str(parse(bind, bound=True)),
        round_timeout=round_timeout,
        durable=durability == "durable",
        insecure=insecure,
        keys=keys_in(keys),
        asynchronous=mode == "async" if mode is not None or last is None else bool(last["asynchronous"]),
        staleness=staleness,
        metrics=metrics,
    )
    options = {**arguments_of(hyperparameters), "workers": len(fleet) if fleet else workers, "comm": _COMM}
    if options["network"] is not None and options["merge"] is None:
        options["merge"] = OF_HUBS
    until = until_of(until_optimal, until_return)
    bar = progress_by(progress)
    shown = [] if bar is None or log == "json" else [bar]  # standard error then has JSON alone
    callbacks = [*shown, *loggers_of(log_to)]
    with logging_as(log):
        given = given_in(context)
        asked = _Asked(checkpoint, env, env_kwargs, options, steps, given, checkpoint_every)
        if any(checkpoint.glob("checkpoint-*")):
            agent = _resumed(asked)
            goal = None if last is None else goal_of(last)
            more, until = _left(agent, goal, steps if "steps" in given else None, until)
        else:
            agent, more = _new(asked)
        if "members" in agent.made_of:  # a fleet, all of whose environments need not have a worker
            former = 1 if last is None else last.get("least", 1)
            hosting = replace(hosting, least=workers if "workers" in given else former)
        finish(agent, more, until, None, json_path, callbacks=callbacks, hosting=hosting)


@dataclass(frozen=True)
class _Asked:
    """The learner that a command line asks for, and which of its options were given."""

    directory: Path
    env: str | None
    env_kwargs: Any
    options: dict[str, Any]
    steps: float
    given: set[str]
    checkpoint_every: float | None


def _new(asked: _Asked) -> tuple[QLearner, float]:
    """Return the learner of a job that begins, and its steps."""
    from cdq.learner import QLearner

    if asked.env is None:
        raise ConfigError(
            f"{asked.directory} holds no job, and no environment was given: name one with --env"
        )
    options, steps = fitted(asked.env, asked.options, asked.steps, asked.given)
    agent = QLearner(
        asked.env,
        env_kwargs=asked.env_kwargs,
        **options,
        checkpoint=asked.directory,
        checkpoint_every=asked.checkpoint_every,
    )
    return agent, steps


def _resumed(asked: _Asked) -> QLearner:
    """Return the learner of the job in a directory; raises where the command line says something else."""
    from cdq.envs.arguments import with_arguments_of_each
    from cdq.job import env_in, holds_fleet
    from cdq.learner import QLearner

    options, given = asked.options, asked.given
    wanted = asked.env and with_arguments_of_each(asked.env, asked.env_kwargs)
    models, fleet = env_in(asked.directory), holds_fleet(asked.directory)
    by_model = models is not None and not fleet
    agent = QLearner.resume(
        asked.directory,
        models if by_model else wanted,
        workers=options["workers"] if "workers" in given and not fleet else None,
        comm=_COMM,
        network=None if options["network"] is None else options["network"].model,
        checkpoint_every=asked.checkpoint_every,
    )
    _require_same(agent, wanted if by_model else None, options, given)
    return agent


def _require_same(agent: QLearner, env: Any, options: Mapping[str, Any], given: set[str]) -> None:
    """Raise if options of the command line differ from those of the job, whose model *env* has where it is given."""
    from cdq.cli.again import differing_options, require_none_differ
    from cdq.mdp import MDP

    wrong = differing_options(agent, options, given)
    known = agent.model
    if env is not None and known is not None and MDP.from_gymnasium(env).fingerprint() != known.fingerprint():
        wrong.append("env")
    require_none_differ(agent, wrong, "job", "leave it out to go on with the job, or name another directory")


def _left(
    agent: QLearner, last: Goal | None, steps: float | None, until: Until | None
) -> tuple[float | None, Until | None]:
    """Return the goal after a restart: that of the last start, unless another one is given."""
    target = agent.steps + agent.steps_left if last is None else last.target
    until = until or (agent.until if last is None else last.until)
    if (steps is None or steps == target) and (last is None or until == last.until):
        return None, None
    return max((target if steps is None else steps) - agent.steps, 0.0), until
