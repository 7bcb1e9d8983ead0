"""cdq bench: measurements of speed, by name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import click

from cdq.cli.completion import environments
from cdq.cli.hyperparameters import Dtype
from cdq.cli.options import JsonPath, Workers, check_writable
from cdq.cli.parameters import argument, option
from cdq.errors import ConfigError, unknown_name

_LIST, _ALL = "list", "all"
_ABOUT_ALL = "in a checkout of the project: all benchmarks of its pages, into these and a history"
_OF_ALL = ("only", "quick")
_PROGRAM = Path("tests", "benchmarks", "__main__.py")  # from the directory of a checkout

Name = Annotated[str, argument(metavar="NAME", help=f"What to measure; {_LIST} prints what there is.")]
Env = Annotated[str, option(metavar="ENV", help="A Gymnasium id.", shell_complete=environments)]
Lanes = Annotated[int, option(metavar="N", help="Environments that a worker steps in lockstep.")]
Repeats = Annotated[int, option(metavar="N", help="How often to measure.")]
Only = Annotated[str | None, option(metavar="NAMES", help="Benchmarks of all, as rounds,merging.")]
Quick = Annotated[bool, option(is_flag=True, help="All of them once, on little; nothing is kept.")]


def bench(
    context: click.Context,
    name: Name,
    *,
    env: Env = "FrozenLake8x8-v1",
    dtype: Dtype = "float32",
    num_envs: Lanes = 64,
    workers: Workers = 1,
    repeats: Repeats = 5,
    only: Only = None,
    quick: Quick = False,
    json_path: JsonPath = None,
) -> None:
    """Measure how fast something is, several times: median, least and greatest.

    [bold]Examples[/bold]

    cdq bench list
    cdq bench rollout --env Taxi-v4 --num-envs 64 --json rollout.json
    cdq bench all --only rounds,merging
    """
    from cdq.cli import benchmarks
    from cdq.cli.render import console_for_people, show_figures, show_spreads, write_json

    known = {**benchmarks.NAMES, _ALL: _ABOUT_ALL}
    if name not in known and name != _LIST:
        raise ConfigError(unknown_name("benchmark", name, [*known, _LIST]))
    if dtype not in ("float32", "float64"):
        raise ConfigError(unknown_name("dtype", dtype, ["float32", "float64"]))
    _check_given(context, name)
    if name == _ALL:
        raise click.exceptions.Exit(_measure_all(only, repeats, quick))
    check_writable(json_path)
    console = console_for_people(json_path)
    if name == _LIST:
        write_json(json_path, known)
        show_figures(console, known.items())
        return
    report = benchmarks.run(name, env=env, dtype=dtype, num_envs=num_envs, workers=workers, repeats=repeats)
    write_json(json_path, report)
    show_spreads(console, {key: value for key, value in report.items() if isinstance(value, Mapping)})


def _check_given(context: click.Context, name: str) -> None:
    """Refuse options of all benchmarks for one, and the other way round."""
    allowed = {*_OF_ALL, "repeats", "name"}
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
        fits = parameter.name in allowed if name == _ALL else parameter.name not in _OF_ALL
        if given and not fits:
            raise ConfigError(
                f"{parameter.opts[0]} does not belong to cdq bench {name}"
                + (
                    "; it takes --only, --quick and --repeats"
                    if name == _ALL
                    else f", but to cdq bench {_ALL}"
                )
            )


def _measure_all(only: str | None, repeats: int, quick: bool) -> int:
    """Run the program of a checkout that measures all; return its exit status."""
    if repeats < 1:
        raise ConfigError(f"repeats {repeats}: it must be at least 1")
    if not _PROGRAM.is_file():
        raise ConfigError(
            f"cdq bench {_ALL} makes pages of the project, and there is no {_PROGRAM} here; "
            f"call it in a checkout's directory, or measure what cdq bench {_LIST} names"
        )
    chosen = [] if only is None else ["--only", only]
    program = [sys.executable, str(_PROGRAM.parents[1] / "start.py"), "tests.benchmarks"]
    flags = ["--quick"] if quick else []
    sys.stdout.flush()
    return subprocess.run([*program, *chosen, *flags, "--repeats", str(repeats)], check=False).returncode
