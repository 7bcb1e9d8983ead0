"""cdq solve: the optimum, from the model."""

from __future__ import annotations

import time
from typing import Annotated

from cdq.cli.hyperparameters import Gamma
from cdq.cli.options import EnvArgs, EnvId, JsonPath, check_writable, env_kwargs_of
from cdq.cli.parameters import option
from cdq.settings import DEFAULTS

_TOLERANCE = 1e-10

Tolerance = Annotated[
    float, option(metavar="X", help="Stop when no value can be further than this from the optimal one.")
]


def solve(
    env: EnvId,
    *,
    env_arg: EnvArgs = None,
    gamma: Gamma = DEFAULTS["gamma"],
    tolerance: Tolerance = _TOLERANCE,
    json_path: JsonPath = None,
) -> None:
    """Find the optimal policy of an environment from its model, without learning.

    [bold]Examples[/bold]

    cdq solve FrozenLake8x8-v1
    cdq solve CliffWalking-v1 --gamma 1 --json -
    """
    from cdq.cli.render import console_for_people, show_figures, show_policy, write_json
    from cdq.envs.arguments import with_arguments
    from cdq.mdp import MDP, planning
    from cdq.storage import in_digits

    check_writable(json_path)
    model = MDP.from_gymnasium(with_arguments(env, env_kwargs_of(env_arg)))
    started = time.perf_counter()
    solution = planning.solve(model, gamma, tolerance=tolerance)
    seconds = time.perf_counter() - started
    optimal_value = float(model.start @ solution.state_values)
    report = {
        "env": model.name,
        "n_states": model.n_states,
        "n_actions": model.n_actions,
        "gamma": gamma,
        "seconds": seconds,
        "iterations": solution.iterations,
        "optimal_value": optimal_value,
        "error": solution.error,
        "residual": solution.residual,
        "state_values": solution.state_values.tolist(),
        "policy": solution.policy.tolist(),
    }
    figures = [
        ("environment", f"{model.name}: {model.n_states:,} states, {model.n_actions} actions"),
        ("optimal value", f"{in_digits(optimal_value, 6)} from the start, gamma {gamma:g}"),
        ("error", f"at most {in_digits(solution.error, 2)}"),
        ("time", f"{seconds:.4f} s, {solution.iterations} iterations"),
    ]
    write_json(json_path, report)
    console = console_for_people(json_path)
    show_figures(console, figures)
    show_policy(console, model, solution.policy)
