"""cdq hub: hold a job for workers that come and go."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click

from cdq.cli.completion import environments
from cdq.cli.hyperparameters import arguments_of, takes_hyperparameters
from cdq.cli.log import logging_as
from cdq.cli.options import (
    CheckpointEvery,
    EnvArgs,
    JsonPath,
    KeysDirectory,
    LogTo,
    Progress,
    Steps,
    UntilOptimal,
    UntilReturn,
    check_apart,
    env_kwargs_of,
    given_in,
    keys_in,
    loggers_of,
    progress_by,
    until_of,
)
from cdq.cli.parameters import option
from cdq.comm.zmq.address import EXAMPLES
from cdq.errors import ConfigError, unknown_name
from cdq.settings import OF_ENVIRONMENT

if TYPE_CHECKING:
    from cdq.learner import QLearner
    from cdq.training import Goal, Until

_COMM = "zmq"  # a hub of this process
_DURABILITY = ("durable", "applied")
_MODES = ("sync", "async")
_STALENESS = 64
# Hyper-parameters that a hub has no use for, or takes otherwise.
_WITHOUT = {*OF_ENVIRONMENT, "overlap", "comm", "workers"}

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
        help="A round needs so many; more may join.",
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
    """
    from cdq.cli.train import finish
    from cdq.comm.zmq.address import parse
    from cdq.envs.arguments import with_arguments
    from cdq.job import Hosting, goal_of, last_start, model_in
    from cdq.learner import QLearner

    if durability not in _DURABILITY:
        raise ConfigError(unknown_name("durability", durability, _DURABILITY))
    if mode is not None and mode not in _MODES:
        raise ConfigError(unknown_name("mode", mode, _MODES))
    check_apart(json=json_path, checkpoint=checkpoint)
    env_kwargs = env_kwargs_of(env_arg)
    if env_kwargs is not None and env is None:
        raise ConfigError("--env-arg was given without --env; name the environment, too")
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
    options = {**arguments_of(hyperparameters), "workers": workers, "comm": _COMM}
    until = until_of(until_optimal, until_return)
    bar = progress_by(progress)
    shown = [] if bar is None or log == "json" else [bar]  # standard error then has JSON alone
    callbacks = [*shown, *loggers_of(log_to)]
    with logging_as(log):
        if any(checkpoint.glob("checkpoint-*")):
            given = given_in(context)
            model = model_in(checkpoint)
            agent = QLearner.resume(
                checkpoint,
                env if model is None else model,
                workers=workers if "workers" in given else None,
                comm=_COMM,
                checkpoint_every=checkpoint_every,
            )
            _require_same(agent, env if env is None else with_arguments(env, env_kwargs), options, given)
            more, until = _left(
                agent, None if last is None else goal_of(last), steps if "steps" in given else None, until
            )
        else:
            agent = _new(env, {**options, "env_kwargs": env_kwargs}, checkpoint, checkpoint_every)
            more = steps
        finish(agent, more, until, None, json_path, callbacks=callbacks, hosting=hosting)


def _new(env: str | None, options: Mapping[str, Any], checkpoint: Path, every: float | None) -> QLearner:
    from cdq.learner import QLearner

    if env is None:
        raise ConfigError(f"{checkpoint} holds no job, and no environment was given: name one with --env")
    return QLearner(env, **options, checkpoint=checkpoint, checkpoint_every=every)


def _require_same(agent: QLearner, env: Any, options: Mapping[str, Any], given: set[str]) -> None:
    """Raise if options of the command line differ from those of the job."""
    from cdq.cli.again import differing_options, require_none_differ
    from cdq.mdp import MDP

    wrong = differing_options(agent, options, given)
    if env is not None and (
        agent.model is None or MDP.from_gymnasium(env).fingerprint() != agent.model.fingerprint()
    ):
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
