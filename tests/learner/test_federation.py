"""Workers that differ: schedules of their own, rounds without some of them, contributions that are lost or wrong."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

import cdq
import cdq.envs
from cdq.errors import ConfigError

HOW: dict[str, Any] = {"sync_every": 512, "seed": 1, "gamma": 0.9, "workers": 4}
ROUND = 4 * 512


def lake(**changes: Any) -> cdq.QLearner:
    return cdq.QLearner("FrozenLake-v1", **{**HOW, **changes})


def test_steps_are_those_of_the_workers_that_learn() -> None:
    agent = lake(federation=cdq.Federation(participation=0.5)).learn(10 * ROUND)
    assert agent.steps == 10 * ROUND
    assert agent.history[-1].rounds == 20
    assert int(agent.table.visits.sum()) == agent.steps


@pytest.mark.parametrize("merge", ["mean", "visits", "pooled", "importance"])
def test_one_that_learns_alone_in_its_round_is_taken_as_it_is(merge: str) -> None:
    """With one of four in a round, there is nothing to merge: all rules come to the same."""
    alone = cdq.Federation(participation=0.1)
    how = {"federation": alone, "step_size": 0.1}
    one, other = (lake(merge=rule, **how).learn(5 * ROUND) for rule in (merge, "sum"))
    np.testing.assert_allclose(one.table.values, other.table.values, rtol=0, atol=1e-14)


def test_what_is_lost_was_made_all_the_same() -> None:
    agent = lake(federation=cdq.Federation(dropped=0.5)).learn(40 * ROUND)
    assert agent.steps == 40 * ROUND
    assert 0.3 < agent.table.visits.sum() / agent.steps < 0.7
    assert agent.report(play=False)["gap"] < 0.01


def test_one_that_sends_nonsense_spoils_the_mean_and_not_the_median() -> None:
    class Median(cdq.MergeRule):
        def combine(self, base: Any, values: Any, visits: Any, clock: Any, log_keep: Any) -> Any:
            return np.median(values, axis=0)

    wrong = cdq.Federation(corrupted={2: -100.0})
    assert lake(federation=wrong, merge="mean").learn(20 * ROUND).table.values.min() < -20
    assert lake(federation=wrong, merge=Median()).learn(20 * ROUND).table.values.min() > -20


def test_only_those_that_explore_see_what_lies_beyond() -> None:
    river = gymnasium.make("cdq/RiverSwim-v0")
    visits = [
        cdq.QLearner(river, per_worker={"exploration": rates}, **{**HOW, "workers": 2})
        .learn(8 * ROUND)
        .table.visits
        for rates in ([0.0, 0.0], [0.0, 1.0])
    ]
    assert (visits[0] == 0).sum() > (visits[1] == 0).sum()


def test_equal_schedules_of_each_are_the_common_one() -> None:
    each = {"exploration": [0.2] * 4, "step_size": ["rescaled-linear:0.9"] * 4}
    assert lake(per_worker=each).learn(9 * ROUND).table.digest() == (
        lake(exploration=0.2).learn(9 * ROUND).table.digest()
    )


def test_step_sizes_of_each_are_what_pooling_reads() -> None:
    """A reward that is always 1: whatever the step sizes, the pooled value is 1 - what all of them leave of 0."""
    model = cdq.MDP.from_arrays(np.ones((1, 1, 1)), [[1.0]], terminated=np.ones((1, 1, 1), bool))
    sizes = [0.01, 0.02, 0.03, 0.04]
    agent = cdq.QLearner(model, per_worker={"step_size": sizes}, num_envs=1, **{**HOW, "sync_every": 8})
    agent.learn(4 * 8)
    left = np.prod([(1 - size) ** 8 for size in sizes])
    assert agent.table.values[0, 0] == pytest.approx(1 - left, abs=1e-12)


@pytest.mark.parametrize("kind", ["participation", "dropped", "corrupted", "schedules"])
def test_processes_come_to_the_same_bits(kind: str) -> None:
    changes: dict[str, Any] = {
        "participation": {"federation": cdq.Federation(participation=0.6)},
        "dropped": {"federation": cdq.Federation(dropped=0.4)},
        "corrupted": {"federation": cdq.Federation(corrupted={1: 0.5})},
        "schedules": {
            "per_worker": {
                "exploration": [0.1, 0.2, "linear:1:0.1:9e3", 1.0],
                "step_size": [0.1, 0.2, 0.3, 0.4],
            }
        },
    }[kind]
    digests = {
        comm: cdq.QLearner("MountainCar-v0", bins=8, comm=comm, **changes, **HOW)
        .learn(6 * ROUND)
        .table.digest()
        for comm in ("inprocess", "zmq")
    }
    assert len(set(digests.values())) == 1


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"per_worker": {"exploration": [0.1]}}, "1 entries of exploration, and there are 4 workers"),
        ({"per_worker": {"gamma": [0.1] * 4}}, "with the keys exploration, step_size"),
        ({"per_worker": {"exploration": "0.1"}}, "one entry per worker in rank order"),
        ({"per_worker": {"exploration": [0.1] * 4, "step_size": [0.1]}}, "lists of 1, 4 entries"),
        ({"per_worker": {"step_size": [0.1, 0.1, 0.1, 2.0]}}, r"per_worker\['step_size'\]\[3\] is 2.0"),
        ({"per_worker": {}}, "one entry per worker"),
        ({"federation": 0.5}, "allowed: cdq.Federation"),
        ({"federation": cdq.Federation(), "workers": 1}, "federation is of several workers"),
        ({"federation": cdq.Federation(corrupted={4: 1.0})}, "corrupted names rank 4"),
        ({"federation": cdq.Federation(), "overlap": True}, "exclude each other"),
    ],
)
def test_arguments_are_checked_before_work_starts(how: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        lake(**how)


def test_a_hub_has_no_ranks_to_name() -> None:
    with pytest.raises(ConfigError, match="members of a hub come and go"):
        lake(federation=cdq.Federation(participation=0.5), comm="zmq").learn(ROUND)


@pytest.mark.parametrize(
    "given",
    [
        {"participation": 0},
        {"participation": 1.1},
        {"dropped": 1},
        {"dropped": -0.1},
        {"corrupted": [1]},
        {"corrupted": {-1: 1.0}},
        {"corrupted": {1: float("inf")}},
    ],
)
def test_conditions_are_checked(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="allowed"):
        cdq.Federation(**given)
