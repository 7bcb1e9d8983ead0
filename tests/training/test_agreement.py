"""What ranks must have in common: here each is a learner of its own, in a thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cdq
from cdq.comm.base import Communicator
from cdq.comm.inprocess import connect
from cdq.errors import ConfigError, DivergenceError, FileError
from cdq.testing.threads import run_in_threads
from cdq.training.agreement import from_rank_0, require_same, require_same_tables
from tests import runs

# What rank 1 is made with, where the others are not, and what every rank is told.
DIFFERENT: dict[str, tuple[dict[str, Any], str]] = {
    "seed": (
        {"seed": 6},
        "seed is 5 on rank 0 and 6 on rank 1; all ranks of a run must be made with the same",
    ),
    "gamma": ({"gamma": 0.8}, "gamma is 0.9 on rank 0 and 0.8 on rank 1"),
    "merge": ({"merge": "mean"}, "merge is 'pooled' on rank 0 and 'mean' on rank 1"),
    "model": ({"env": cdq.MDP.garnet(30, 4, branching=2, seed=0)}, "environment is 'random-8' on rank 0"),
    "window": ({"sync_every": cdq.AutoWindow(mass=0.5)}, "sync_every is .*'mass': 0.3.* and .*'mass': 0.5"),
    "step size": ({"step_size": 0.5}, "step_size is"),
    "exploration": ({"exploration": 0.5}, "exploration is"),
    "lanes": ({"num_envs": 4}, "num_envs is 3 on rank 0 and 4 on rank 1"),
    "overlap": ({"overlap": True}, "overlap is False on rank 0 and True on rank 1"),
    "dtype": ({"dtype": "float32"}, "dtype is 'float64' on rank 0 and 'float32' on rank 1"),
    "initial value": ({"initial_value": 1.0}, "initial_value is 0.0 on rank 0 and 1.0 on rank 1"),
    "steps": ({"steps": 4000}, "steps to reach is 3000 on rank 0 and 4000 on rank 1"),
    "condition": ({"until": cdq.MeanReturn(1e9)}, "until is None on rank 0 and {.*MeanReturn.*} on rank 1"),
    "checkpoints": ({"checkpoint_every": 500}, "checkpoint_every is 1000 on rank 0 and 500 on rank 1"),
    "no checkpoints": (
        {"checkpoint": None, "checkpoint_every": None},
        "checkpoint_every is 1000 on rank 0 and 0 on rank 1",
    ),
}


def on_ranks(size: int, function: Callable[[Communicator], Any]) -> list[Any]:
    return run_in_threads(connect(size, 20.0), function)


def learns(directory: Path, comm: Communicator, **changes: Any) -> cdq.QLearner:
    """Make a learner of this rank, and let it learn."""
    arguments: dict[str, Any] = {"env": runs.MODEL, "num_envs": 3, "seed": 5, "gamma": 0.9, **changes}
    checkpoints = {"checkpoint": directory, "checkpoint_every": 1000}
    steps, until = arguments.pop("steps", 3000), arguments.pop("until", None)
    return cdq.QLearner(**{**checkpoints, **arguments}, comm=comm).learn(steps, until=until)


@pytest.mark.parametrize("name", DIFFERENT)
def test_every_rank_is_told_what_differs(name: str, tmp_path: Path) -> None:
    changes, message = DIFFERENT[name]

    def rank(comm: Communicator) -> cdq.QLearner:
        return learns(tmp_path / "run", comm, **(changes if comm.rank == 1 else {}))

    for result in on_ranks(3, rank):
        with pytest.raises(ConfigError, match=message):
            raise result


def test_a_run_is_not_joined_by_one_that_has_learnt(tmp_path: Path) -> None:
    def rank(comm: Communicator) -> cdq.QLearner:
        agent = learns(tmp_path / "run", comm)
        if comm.rank == 1:
            agent._state.merged.values[3, 1] += 1e-9
        return agent.learn(1000)

    for result in on_ranks(2, rank):
        with pytest.raises(ConfigError, match="table is '[0-9a-f]{64}' on rank 0 and"):
            raise result


def test_ranks_without_a_seed_take_that_of_rank_0(tmp_path: Path) -> None:
    def rank(comm: Communicator) -> cdq.QLearner:
        return learns(tmp_path / "run", comm, seed=seeds[comm.rank])

    for seeds in ([None, None, None], [7, None, None], [2**200, None, None]):
        agents = on_ranks(3, rank)
        assert len({agent.settings.seed for agent in agents}) == 1
        assert len({agent.table.digest() for agent in agents}) == 1
        assert seeds[0] in (None, agents[0].settings.seed)
        for path in (tmp_path / "run").iterdir():
            path.unlink()


def test_seeds_that_differ_are_told_where_some_have_none(tmp_path: Path) -> None:
    for result in on_ranks(2, lambda comm: learns(tmp_path / "run", comm, seed=[None, 3][comm.rank])):
        with pytest.raises(ConfigError, match=r"seed is \d+ on rank 0 and 3 on rank 1"):
            raise result


@pytest.mark.parametrize("overlap", [False, True])
def test_every_rank_knows_that_a_condition_has_ended_the_call(overlap: bool, tmp_path: Path) -> None:
    until = cdq.OptimalWithin(1.0)

    def rank(comm: Communicator) -> tuple[cdq.QLearner, int]:
        agent = learns(tmp_path / "run", comm, steps=400_000, until=until, overlap=overlap)
        steps = agent.steps
        assert agent.learn().steps == steps  # nothing is left to do
        return agent, steps

    for agent, steps in on_ranks(3, rank):
        assert (steps < 400_000, agent.steps_left, agent.until) == (True, 0, until)


# ---- tables that differ


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("culprit", [0, 2])
def test_a_table_that_differs_is_named_and_no_checkpoint_written(
    culprit: int, overlap: bool, tmp_path: Path
) -> None:
    def rank(comm: Communicator) -> cdq.QLearner:
        agent = cdq.QLearner(
            runs.MODEL, num_envs=3, seed=5, comm=comm, overlap=overlap, checkpoint=tmp_path / "run"
        )
        original = agent._team.join

        def poked(*arguments: Any, **keywords: Any) -> Any:
            joined = original(*arguments, **keywords)
            if comm.rank == culprit:
                agent._state.merged.visits[4, 2] ^= 1 << 40  # as a cosmic ray would
            return joined

        agent._team.join = poked  # type: ignore[method-assign]
        return agent.learn(3000)

    for result in on_ranks(3, rank):
        with pytest.raises(
            DivergenceError, match=rf"differ after \d+ steps: rank {culprit} against"
        ) as raised:
            raise result
        assert raised.value.ranks == (culprit,)
    assert not (tmp_path / "run").exists()  # nothing was saved


def test_of_two_that_differ_it_is_not_rank_0() -> None:
    for digests in ([b"a", b"b"], [b"b", b"a"]):
        with pytest.raises(DivergenceError) as raised:
            require_same_tables(digests, 10)
        assert raised.value.ranks == (1,)
    require_same_tables([b"a"] * 3, 10)


# ---- what rank 0 reads


def fails() -> bytes:
    raise PermissionError(13, "Permission denied", "checkpoint")


def test_what_rank_0_cannot_read_no_rank_can() -> None:
    for result in on_ranks(3, lambda comm: from_rank_0(comm, fails)):
        with pytest.raises(FileError, match="Permission denied"):
            raise result
    assert on_ranks(3, lambda comm: from_rank_0(comm, lambda: bytes([comm.rank]))) == [b"\0"] * 3


def test_threads_have_their_process_in_common() -> None:
    assert cdq.QLearner(runs.MODEL, workers=2, seed=7).settings.seed == 7
    first, second = (cdq.QLearner(runs.MODEL, workers=2).settings.seed for _ in range(2))
    assert first != second  # each drew its own


def test_what_only_one_rank_has_differs_too() -> None:
    differ: list[Callable[[int], dict[str, Any]]] = [
        lambda rank: {"same": 1, **({"extra": 2} if rank == 0 else {})},
        lambda rank: {"same": 1, **({"extra": 2} if rank == 2 else {})},
    ]
    for make in differ:
        for result in on_ranks(3, lambda comm, make=make: require_same(comm, make(comm.rank))):
            with pytest.raises(ConfigError, match="extra is"):
                raise result
