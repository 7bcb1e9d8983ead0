"""The environment and the network of a job, made again wherever it is learnt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, cast

from cdq.contracts import Environment
from cdq.core.lanes import Lanes
from cdq.errors import ConfigError
from cdq.job.networks.messages import NetworkShape
from cdq.mdp import MDP, from_table
from cdq.qfunctions import MergedNetwork
from cdq.settings import Settings, arguments_of, make_settings
from cdq.training import SteppedTask, make_network


@dataclass(frozen=True)
class NetworkJob:
    """Environment, network and settings of a job, the same for all workers from the first round to the last.

    Attributes
    ----------
    task : SteppedTask
        The environment and the network.
    settings : Settings
        Settings of the job.
    made_of : dict
        Origin of the environment besides its name (`cdq.envs.origin`).
    """

    task: SteppedTask
    settings: Settings
    made_of: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of the environment."""
        return self.task.name

    @property
    def merged(self) -> MergedNetwork:
        """The network."""
        merged = self.task.own_table
        assert isinstance(merged, MergedNetwork)
        return merged

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the environment and the network."""
        return self.task.fingerprint()

    @cached_property
    def shape(self) -> NetworkShape:
        """Sizes from which those of messages follow."""
        settings, network = self.settings, self.settings.network
        assert network is not None
        lanes = Lanes(settings.num_envs, self.task.own_bytes).memory.nbytes
        samples = network.minibatch // settings.workers
        return NetworkShape(
            self.merged.layout.size, settings.num_envs, lanes, network.rollout, network.epochs, samples
        )


def job_of_file(path: object, header: Mapping[str, Any]) -> NetworkJob | None:
    """Return the job that a file's header, or the hub, describes; None where it is one of a table.

    Raises
    ------
    ConfigError
        If it cannot be made here, or only by code for which a user has to vouch; or is another one.
    """
    arguments = arguments_of(path, header, None)
    if arguments.get("network") is None:
        return None
    settings = make_settings(**{**arguments, "comm": "inprocess"})
    told = header.get("made_of", {})
    made_of = told if isinstance(told, dict) else {}
    job = NetworkJob(_open(path, str(header["environment"]), made_of, settings), settings, made_of)
    if job.fingerprint != header["model"]:
        raise ConfigError(
            f"{path} is of another {job.name} than there is here; use the same cdq on all machines"
        )
    return job


def _open(path: object, name: str, made_of: dict[str, Any], settings: Settings) -> SteppedTask:
    from cdq.envs.opening import open_environment  # here: they take Gymnasium with them
    from cdq.envs.origin import environment_of

    env = environment_of(path, name, made_of, None)
    how: dict[str, Any] = {"stepping": "auto", "masks": settings.masks, "bins": None, "plain": False}
    origin, encoder, why, changed, _ = open_environment(env, 1, partial(from_table, MDP), **how)
    environment = cast("Environment", origin)
    if isinstance(origin, MDP) or not environment.threads:
        raise ConfigError(f"{path} needs {name} as a compiled environment, and here it is stepped in Python")
    kind = make_network(settings, environment, encoder)
    return SteppedTask(environment, kind, _no_recipe(name), why, changed)


def _no_recipe(name: str) -> Callable[[], Any]:
    def recipe() -> Any:
        raise ConfigError(f"{name} is sent by its name")

    return recipe
