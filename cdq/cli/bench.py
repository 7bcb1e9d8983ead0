"""cdq bench: measurements of speed, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from cdq.cli.completion import environments
from cdq.cli.hyperparameters import Dtype
from cdq.cli.options import JsonPath, Workers, check_writable
from cdq.cli.parameters import argument, option
from cdq.errors import ConfigError, unknown_name

_LIST = "list"

Name = Annotated[str, argument(metavar="NAME", help=f"What to measure; {_LIST} prints what there is.")]
Env = Annotated[str, option(metavar="ENV", help="A Gymnasium id.", shell_complete=environments)]
Lanes = Annotated[int, option(metavar="N", help="Environments that a worker steps in lockstep.")]
Repeats = Annotated[int, option(metavar="N", help="How often to measure.")]


def bench(
    name: Name,
    *,
    env: Env = "FrozenLake8x8-v1",
    dtype: Dtype = "float32",
    num_envs: Lanes = 64,
    workers: Workers = 1,
    repeats: Repeats = 5,
    json_path: JsonPath = None,
) -> None:
    """Measure how fast something is, several times: median, least and greatest.

    [bold]Examples[/bold]

    cdq bench list
    cdq bench rollout --env Taxi-v4 --num-envs 64 --json rollout.json
    """
    from cdq.cli import benchmarks
    from cdq.cli.render import console_for_people, show_figures, show_spreads, write_json

    if name not in benchmarks.NAMES and name != _LIST:
        raise ConfigError(unknown_name("benchmark", name, [*benchmarks.NAMES, _LIST]))
    if dtype not in ("float32", "float64"):
        raise ConfigError(unknown_name("dtype", dtype, ["float32", "float64"]))
    check_writable(json_path)
    console = console_for_people(json_path)
    if name == _LIST:
        write_json(json_path, benchmarks.NAMES)
        show_figures(console, benchmarks.NAMES.items())
        return
    report = benchmarks.run(name, env=env, dtype=dtype, num_envs=num_envs, workers=workers, repeats=repeats)
    write_json(json_path, report)
    show_spreads(console, {key: value for key, value in report.items() if isinstance(value, Mapping)})
