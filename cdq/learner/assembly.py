"""Choice of the way in which an environment is learnt: the fastest one that there is for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from numpy.typing import NDArray

from cdq.contracts import Environment, QFunctionKind
from cdq.errors import ConfigError, FileError, TableError
from cdq.features import FeatureMap, TileCoding
from cdq.learner.fleets import make_fleet
from cdq.learner.lanes import lanes_to_open, with_lanes
from cdq.mdp import MDP, from_table
from cdq.merges import READ_STEP_SIZES
from cdq.offline import LoggedTask, Names
from cdq.qfunctions import (
    LARGE,
    HashedCells,
    HashedStates,
    HashedTable,
    Linear,
    MergedNetwork,
    MergedTable,
    SoleTable,
    Table,
)
from cdq.settings import OF_ENVIRONMENT, Goals, Settings
from cdq.training import (
    EnvironmentTask,
    FleetTask,
    ModelTask,
    SteppedTask,
    WideTask,
    make_network,
    width_of,
)

if TYPE_CHECKING:
    from cdq.envs.spaces import Encoder

_log = logging.getLogger("cdq")

# Rows are numbered with 32 bits, a pair too.
_MOST_PAIRS = 2**32 - 1

_MEMBERS = "members"  # entry of a file's header with the environments of a fleet


def make_task(env: Any, settings: Settings) -> tuple[EnvironmentTask, Settings]:
    """Return what a learner with these settings learns, and the settings with all that follows from it.

    Raises
    ------
    UnsupportedEnvironment, ConfigError
        If there is no way; says which there would be.
    """
    if isinstance(env, (list, tuple)):
        if settings.network is not None:
            raise ConfigError(
                "a network is learnt in one environment, and a list is given; leave network out"
            )
        return make_fleet(env, settings, make_task)
    if isinstance(env, Names):
        require_opponent("a log", 1, settings.opponent)
        _require_none_given(settings, "a log is learnt with a table of its states")
        if settings.tasks is not None:
            raise ConfigError("a log without an environment is one task; make a QLearner of the environment")
        return LoggedTask(env), replace(settings, num_envs=1)
    task, settings = _task_of(env, settings)
    if settings.tasks is None:
        return task, settings
    return WideTask(task, settings.tasks, settings.dtype, partial(_sendable, env)), settings


def _sendable(env: Any) -> Any:
    if isinstance(env, MDP):
        return env
    from cdq.envs.sending import sendable

    return sendable(env)


def _task_of(env: Any, settings: Settings) -> tuple[ModelTask | SteppedTask, Settings]:
    """Return what is learnt of an environment, as if it were one task."""
    if isinstance(env, MDP):
        _require_none_given(settings, "an MDP is learnt as it is")
        require_opponent(env.name, 1 if env.opponent is None else 2, settings.opponent)
        return _with_lanes(ModelTask(env, settings.dtype), settings)
    from cdq.envs.opening import open_environment
    from cdq.envs.sending import sendable
    from cdq.envs.wrappers import records_episodes

    origin, encoder, why, changed, players = open_environment(
        env,
        lanes_to_open(env, settings),
        partial(from_table, MDP),
        stepping=settings.stepping,
        masks=settings.masks,
        bins=settings.bins,
        instead=_instead_of_a_table(settings),
        groups=settings.groups,
    )
    require_opponent(origin.name, players, settings.opponent)
    if isinstance(origin, MDP):
        task = ModelTask(origin, settings.dtype, encoder, why, changed)
        return _with_lanes(task, settings)
    environment = cast("Environment", origin)
    if getattr(environment, "blocks", None) is not None:
        _require_tables(settings, environment)
        if not environment.threads:
            settings = replace(settings, num_envs=environment.default_num_envs)
    settings = with_lanes(settings, environment)
    if not encoder.countable and not _instead_of_a_table(settings):
        settings = replace(settings, features=_features_for(environment, encoder))
    representation = _representation(settings, environment, encoder)
    if settings.workers > 1 and not environment.threads and records_episodes(env):
        notice = "its RecordEpisodeStatistics counts the episodes of this process alone, one worker's"
        _log.warning("%s is stepped by several processes: %s", environment.name, notice)
        why = f"{why}; {notice}"
    return SteppedTask(environment, representation, partial(sendable, env), why, changed), settings


def require_opponent(name: str, players: int, opponent: str | None) -> None:
    """Raise `ConfigError` if a game is to be learnt without an opponent, or an opponent is given to what is no game."""
    if players > 2:
        raise ConfigError(
            f"{name} has {players} players; opponent='self' learns games of two in turn, whose gains are each other's "
            "losses"
        )
    if players == 2 and opponent is None:
        raise ConfigError(
            f"{name} is a game of two players in turn; give opponent='self' (--opponent self), which learns both sides"
        )
    if players < 2 and opponent is not None:
        raise ConfigError(
            f"opponent={opponent!r} is for games of two players in turn, and {name} is none; leave it out. An "
            "environment of plies says that it is a game: metadata['players'] is 2, info['discount'] -1 until its end"
        )


def _with_lanes(task: ModelTask, settings: Settings) -> tuple[ModelTask, Settings]:
    return task, replace(settings, num_envs=settings.num_envs or task.default_num_envs)


def _require_none_given(settings: Settings, why: str) -> None:
    """Raise `ConfigError` if the user says how an environment is to be learnt where there is none."""
    if settings.of_environment():
        *others, last = OF_ENVIRONMENT
        raise ConfigError(f"{why}: leave out {', '.join(others)} and {last}")


def _require_tables(settings: Settings, environment: Environment) -> None:
    """Raise `ConfigError` unless tables are asked for, which several agents are learnt with."""
    for name in ("features", "network"):
        if getattr(settings, name) is None:
            continue
        raise ConfigError(
            f"{environment.name} has several agents, which are learnt with tables: leave {name} out, and let the "
            "environment give whole numbers, such as the number of a bin"
        )


def _instead_of_a_table(settings: Settings) -> str:
    """Return subject and verb of what is asked for in place of a table with a row per state; empty where it is one."""
    if settings.network is not None:
        return "a network is"
    if settings.features is not None:
        return "features are"
    if settings.bins is not None:
        return "bins are"
    return "" if settings.table == "dense" else "a hashed table is"


def _features_for(environment: Environment, encoder: Encoder) -> FeatureMap:
    """Return features for an environment whose user names none: those known to do well, else tiles."""
    features = _known(environment) or TileCoding()
    _log.info("%s is learnt with %s", environment.name, features)
    return features


def _known(environment: Environment) -> FeatureMap | None:
    """Return the features that are known to do well."""
    from cdq.envs.defaults import recommended

    known = recommended(environment.name)
    return None if known is None else known.arguments.get("features")


def _bounded(features: FeatureMap, environment: Environment) -> FeatureMap:
    """Return features with the bounds that are known to do well, where their user gives none."""
    known = _known(environment)
    if known is None or features.low is not None or features.high is not None:
        return features
    return replace(features, low=known.low, high=known.high)


def make_table(task: EnvironmentTask, settings: Settings, *, alone: bool) -> MergedTable:
    """Return the table that all workers of this process begin with; *alone*, where there is but one of the run."""
    # The log of a worker alone has an entry for every update, of which a step on features has many.
    large = task.n_rows * task.columns * settings.rule.tables >= LARGE and task.step_scale == 1.0
    if task.own_table is not None:
        own: MergedTable = task.own_table
        if isinstance(own, MergedNetwork):
            own.begin(settings.seed)
        return own
    initial = task.initial(settings.initial_value)
    table = (SoleTable if alone and large else MergedTable)(
        task.n_rows, task.columns, settings.dtype, initial, settings.rule
    )
    table.own_rows = 0 if task.blocks is None else task.blocks.own_rows
    return table


def require_homes(task: EnvironmentTask, settings: Settings) -> None:
    """Raise `ConfigError` if blocks that one worker keeps for itself are not those of the workers that there are."""
    n = 0 if task.blocks is None else [block.home for block in task.blocks.blocks].count("own")
    if n and n != settings.workers:
        raise ConfigError(
            f"{task.name} has {n} blocks of home 'own', one for each worker, and there are {settings.workers} workers; "
            f"give workers={n}"
        )
    if n and (settings.table == "hash" or settings.overlap):
        what = "a hashed table" if settings.table == "hash" else "overlap"
        raise ConfigError(f"{what} and blocks of home 'own' exclude each other; leave it out")


def require_rule_fits(settings: Settings, *, alone: bool) -> None:
    """Raise `ConfigError` if the update rule is not one for what is learnt, or merging would read other step sizes.

    *alone* says that there is one worker, and never another one.
    """
    rule = settings.rule
    if rule.spends_by_clock:
        return
    if settings.features is not None:
        raise ConfigError(f"rule={rule.name!r} is for tables, and features are learnt; take another rule")
    if not alone and (settings.overlap or settings.merge in READ_STEP_SIZES):
        what = "overlap" if settings.overlap else f"merge={settings.merge!r}"
        raise ConfigError(
            f"{what} weighs visits by their step sizes, of which rule={rule.name!r} has two; give merge='visits', and "
            "no overlap"
        )


def _representation(settings: Settings, environment: Environment, encoder: Encoder) -> QFunctionKind:
    if settings.network is not None:
        from cdq.envs.numbered import require_numbers

        require_numbers(environment.name, encoder)
        return make_network(settings, environment, encoder)
    features = settings.features
    if settings.bins is not None and not encoder.countable:
        features = TileCoding(1, settings.bins)  # one tiling is a partition into bins
    if features is not None:
        features = _bounded(features, environment)
        bound, bounds = features.bind(encoder.low, encoder.high), features.bounds(encoder.low, encoder.high)
    if settings.table == "hash":
        if isinstance(settings.tasks, Goals):
            settings.tasks.among(None, environment.name)  # raises if they are all states
        columns = environment.n_actions * width_of(settings.tasks)
        merged = HashedTable(columns, settings.dtype, settings.initial_value, settings.rule)
        if settings.bins is not None and features is not None:
            return HashedCells(encoder, merged, settings.bins, bound, bounds)
        encoder.encoding(vectors=False)  # raises if observations have no number each
        return HashedStates(encoder, merged)
    if features is not None:
        return Linear(encoder, bound, bounds, _described(features))
    if encoder.n_states is None or encoder.n_states * encoder.n_actions * settings.rule.tables > _MOST_PAIRS:
        raise ConfigError(
            f"{environment.name} has too many states for a table with a row for each; use table='hash', or features"
        )
    return Table(encoder)


def _described(features: FeatureMap) -> str:
    """Return features in words, without the arguments that were left open."""
    given = {name: value for name, value in asdict(features).items() if value is not None}
    return f"{type(features).__name__}({', '.join(f'{name}={value}' for name, value in given.items())})"


def made_with(env: Any, arguments: Any, opponent: str | None = None) -> Any:
    """Return what makes an environment with arguments of `QLearner` (`cdq.envs.arguments`), a game as plies.

    Of several environments it is a list.
    """
    if arguments is not None:
        from cdq.envs.arguments import with_arguments_of_each

        env = with_arguments_of_each(env, arguments)
    if opponent is None:
        return env
    from cdq.envs.turns import by_plies

    return by_plies(env)


def origin_of(env: Any, task: EnvironmentTask) -> dict[str, Any]:
    """Return what a file says of a task's environment besides its name (`cdq.envs.origin`); of a fleet, of each."""
    if isinstance(task, FleetTask):
        if any(isinstance(one, MDP) for one in env):
            return {_MEMBERS: []}  # no file holds them
        each = zip(env, task.members, strict=True)
        return {_MEMBERS: [{"environment": own.name, "made_of": origin_of(one, own)} for one, own in each]}
    if isinstance(env, MDP):
        return {}
    from cdq.envs import origin

    return origin.origin_of(env)


def require_size(path: object, header: Mapping[str, Any], values: NDArray[Any] | None) -> None:
    """Raise before an environment is made of a map that has not as many places as the file's table has rows.

    Raises
    ------
    TableError
        If it has others: making it takes far more memory and time than reading the file.
    """
    told = header.get("made_of")
    arguments = told.get("arguments") if isinstance(told, dict) else None
    places = arguments.get("desc") if isinstance(arguments, dict) else None
    name = str(header.get("environment")).rpartition(":")[2]
    if not isinstance(places, list) or values is None or not name.startswith("FrozenLake"):
        return
    n = sum(len(row) for row in places if isinstance(row, (str, list)))
    if n != len(values):
        raise TableError(
            f"{path} was learnt on a map of {n:,} places, and its table has {len(values):,} rows; use another copy"
        )


def environment_of(path: object, header: Mapping[str, Any], given: Any) -> Any:
    """Return the environment of a file whose header this is, unless the user gives another one.

    Raises
    ------
    ConfigError
        If it takes code for which the user has to vouch.
    """
    if given is not None and not isinstance(given, str):
        return given
    from cdq.envs import origin

    told = header.get("made_of", {})
    if isinstance(told, dict) and isinstance(told.get(_MEMBERS), list):
        return _fleet_of(path, told[_MEMBERS])
    return origin.environment_of(path, header["environment"], told if isinstance(told, dict) else {}, given)


def _fleet_of(path: object, members: list[Any]) -> list[Any]:
    """Return the environments of a file's fleet, where all can be made again."""
    if not all(isinstance(one, dict) and isinstance(one.get("environment"), str) for one in members):
        raise FileError(f"{path} lacks what its environments are made of; use another")
    if not members:
        raise ConfigError(
            f"{path} was learnt on models, which it does not hold: give the list of them, env=[...]"
        )
    try:
        return [environment_of(path, one, None) for one in members]
    except ConfigError as error:
        raise ConfigError(f"{error}. Of several environments give a list: env=[...]") from None
