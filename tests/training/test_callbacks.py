from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.errors import ConfigError, PeerLost
from cdq.training.callbacks import CallbackList, RunView


class Told(cdq.Callback):
    """Writes down what it is told, and answers as it was made to."""

    def __init__(self, **answers: Any) -> None:
        self.told: list[str] = []
        self._answers = answers

    def _tell(self, name: str, run: RunView) -> Any:
        self.told.append(name)
        answer = self._answers.get(name)
        return answer(run) if callable(answer) else answer

    def on_start(self, run: RunView) -> Any:
        return self._tell("start", run)

    def on_round(self, run: RunView) -> Any:
        return self._tell("round", run)

    def on_evaluation(self, run: RunView) -> Any:
        return self._tell("evaluation", run)

    def on_checkpoint(self, run: RunView) -> Any:
        return self._tell("checkpoint", run)

    def on_end(self, run: RunView) -> Any:
        return self._tell("end", run)


def learner(**changes: Any) -> cdq.QLearner:
    return cdq.QLearner("FrozenLake-v1", **{"seed": 0, "sync_every": 1000, **changes})


def test_what_is_called_and_when(tmp_path: Any) -> None:
    told = Told()
    learner(checkpoint=tmp_path, checkpoint_every=20_000).learn(40_000, callbacks=[told])
    assert told.told[0] == "start"
    assert told.told[-2:] == ["checkpoint", "end"]
    assert told.told.count("round") == 40_000 // 1008 + 1
    assert told.told.count("checkpoint") == 2
    assert told.told[1 + told.told.index("evaluation") - 2] == "round"


def test_the_table_is_the_same_with_and_without() -> None:
    def look(run: Any) -> None:
        run.evaluate(10, seed=1)
        assert run.table.digest()
        assert len(run.history) > 0

    for changes in ({}, {"workers": 2}, {"workers": 2, "overlap": True}, {"sync_every": "auto"}):
        plain, seen = learner(**changes).learn(30_000), learner(**changes)
        seen.learn(30_000, callbacks=[look, cdq.EvalCallback(5000), cdq.StopOnTime(1e6)])
        assert seen.table.digest() == plain.table.digest()
        assert seen.history["steps"].tolist() == plain.history["steps"].tolist()
        assert seen.evaluate() == plain.evaluate()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("overlap", [False, True])
def test_a_true_result_stops_with_the_table_of_that_round(workers: int, overlap: bool) -> None:
    digests = []

    def stop(run: Any) -> bool:
        digests.append(run.table.digest())
        return run.steps >= 10_000

    agent = learner(workers=workers, overlap=overlap).learn(1e9, callbacks=[stop])
    assert 10_000 <= agent.steps < 13_000
    assert agent.table.digest() == digests[-1]
    assert agent.steps_left == 0
    assert agent.learn(5000).steps >= 15_000


@pytest.mark.parametrize("where", ["start", "evaluation", "checkpoint"])
def test_each_may_ask_to_stop(where: str, tmp_path: Any) -> None:
    told = Told(**{where: True})
    agent = learner(checkpoint=tmp_path, checkpoint_every=5000).learn(1e6, callbacks=[told])
    assert agent.steps < 100_000
    assert told.told[-1] == "end"


def test_all_are_asked_though_the_first_stops() -> None:
    first, second = Told(round=True), Told()
    learner().learn(1e6, callbacks=[first, second])
    assert second.told == ["start", "round", "end"]


class Own(Exception):
    pass


def fails(run: Any) -> None:
    raise Own(f"at {run.steps}")


@pytest.mark.parametrize("where", ["start", "round", "end"])
@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_ends_the_call_with_the_last_whole_round(where: str, workers: int) -> None:
    told, other = Told(**{where: fails}), Told()
    agent = learner(workers=workers)
    with pytest.raises(Own, match=r"at \d+"):
        agent.learn(10_000, callbacks=[other, told])
    rounds = told.told.count("round")
    assert agent.steps == min(1008 * workers * rounds, 10_000 + 16 * (workers - 1))
    assert agent.steps == (agent.history[-1].steps if rounds else 0)
    assert (agent.steps == 0) is (where == "start")
    assert other.told[-1] == "end"
    assert ("end" in told.told) is (where != "start")
    expected = learner(workers=workers).learn(agent.steps or 0)
    assert agent.table.digest() == expected.table.digest()
    assert agent.learn(5000).steps > 0


def test_an_error_of_the_end_does_not_hide_the_first(caplog: Any) -> None:
    def both(run: Any) -> None:
        raise Own("second")

    with pytest.raises(Own, match="at"):
        learner().learn(1e6, callbacks=[Told(round=fails, end=both)])
    assert "on_end of Told failed too" in caplog.text


@pytest.mark.parametrize(
    "given",
    [5, None, "x", [5], [cdq.StopOnTime], ["text"], cdq.StopOnTime(1), {1: 2}, b"x"],
)
def test_what_is_no_callback_is_refused_before_work(given: Any) -> None:
    agent = learner()
    with pytest.raises(ConfigError, match="callbacks"):
        agent.learn(1000, callbacks=given)
    assert agent.steps == 0


def test_a_view_is_of_a_whole_round() -> None:
    seen: list[Any] = []

    def look(run: Any) -> None:
        seen.append((run.steps, run.row.steps, run.history[-1].steps, run.seconds, run.target, run.begun))
        with pytest.raises(AttributeError):
            run.steps = 5
        run.history.append(run.row)  # a copy

    agent = learner(workers=2).learn(3000)
    before = agent.steps
    agent.learn(10_000, callbacks=[look])
    assert all(steps == row == last for steps, row, last, *_ in seen)
    assert {target for *_, target, _ in seen} == {before + 10_000}
    assert {begun for *_, begun in seen} == {before}
    assert len(agent.history) == len(set(agent.history["steps"].tolist()))


def test_a_call_of_no_steps() -> None:
    told = Told()
    learner().learn(0, callbacks=[told])
    assert told.told == ["start", "end"]


def test_the_learner_is_busy_in_a_callback() -> None:
    agent = learner()
    with pytest.raises(cdq.errors.LearnerBusy):
        agent.learn(1000, callbacks=[lambda run: agent.evaluate()])


def test_stopping_at_a_return() -> None:
    stop, rows = cdq.StopOnReturn(0.4, episodes=200), list[Any]()
    agent = learner(sync_every=500).learn(1e7, callbacks=[stop, lambda run: rows.extend(run.rows)])
    ended = np.diff([row.episodes for row in rows], prepend=0)
    sums = ended * np.nan_to_num([row.mean_return for row in rows])
    first = int(np.flatnonzero(ended[::-1].cumsum() >= 200)[0]) + 1
    assert stop.mean_return == pytest.approx(sums[-first:].sum() / ended[-first:].sum())
    assert 0.4 <= stop.mean_return < 0.6
    assert agent.steps < 1e6
    greedy = learner().learn(1e7, callbacks=[cdq.EvalCallback(5000), cdq.StopOnReturn(0.6, greedy=True)])
    assert greedy.history[-1].greedy_return >= 0.6
    assert greedy.steps < 1e6


def test_stopping_in_time() -> None:
    assert learner().learn(1e12, callbacks=[cdq.StopOnTime(0)]).steps == 1008


@pytest.mark.parametrize(
    "make",
    [
        lambda: cdq.StopOnTime(-1),
        lambda: cdq.StopOnTime(math.nan),
        lambda: cdq.StopOnReturn("x"),  # type: ignore[arg-type]
        lambda: cdq.StopOnReturn(1, greedy=2),  # type: ignore[arg-type]
        lambda: cdq.EvalCallback(0),
        lambda: cdq.StopOnReturn(1, episodes=0),
        lambda: cdq.EvalCallback(10, episodes=0),
        lambda: cdq.EvalCallback(10, seed=-1),
    ],
)
def test_arguments_are_checked(make: Callable[[], Any]) -> None:
    with pytest.raises(ConfigError, match="allowed"):
        make()


def test_the_best_table_is_kept() -> None:
    seen = cdq.EvalCallback(10_000, episodes=500, seed=7)
    agent = learner().learn(100_000, callbacks=[seen])
    assert [steps // 10_000 for steps, _ in seen.evaluations] == list(range(1, 11))
    assert seen.best == max((found for _, found in seen.evaluations), key=lambda found: found.mean_return)
    assert dict(seen.evaluations)[seen.best_steps] == seen.best
    assert seen.best_table is not None
    again = learner(initial_table=seen.best_table).evaluate(500, seed=7)
    assert again == seen.best
    measured = ~np.isnan(agent.history["greedy_return"])
    assert measured.sum() == 10


def test_the_best_where_episodes_do_not_end() -> None:
    seen = cdq.EvalCallback(20_000, episodes=2)
    agent = cdq.QLearner("cdq/RiverSwim-v0", seed=0, sync_every=10_000)
    agent.learn(60_000, callbacks=[seen])
    assert seen.best_table is not None


def test_a_list_without_callbacks_sees_nothing() -> None:
    with CallbackList() as nobody:
        nobody.begin()
        nobody.see_checkpoint()
        assert nobody.see_round() is False


def test_python_environments_learn_the_same() -> None:
    def made() -> cdq.QLearner:
        return cdq.QLearner("Blackjack-v1", seed=3, sync_every=500)

    seen = made().learn(3000, callbacks=[cdq.EvalCallback(1000, episodes=20)])
    assert seen.table.digest() == made().learn(3000).table.digest()


class Dies(cdq.Callback):
    def on_round(self, run: RunView) -> None:
        raise PeerLost("of the user's", [1])


def test_an_error_of_our_own_kind_is_raised_as_it_is() -> None:
    with pytest.raises(PeerLost, match="of the user's"):
        learner(workers=2).learn(10_000, callbacks=[Dies()])


def test_a_condition_is_judged_by_what_the_run_measures_and_not_by_what_callbacks_do() -> None:
    """An evaluation of one lucky episode does not reach ``until=``, and all callbacks see the last round."""
    told, goal = Told(), cdq.MeanReturn(0.7)
    lucky = cdq.EvalCallback(1000, episodes=1)
    alone = learner().learn(500_000, until=goal)
    watched = learner().learn(500_000, until=goal, callbacks=[lucky, told])
    assert (watched.steps, watched.table.digest()) == (alone.steps, alone.table.digest())
    assert alone.steps < 500_000
    assert told.told[-3:] == ["round", "evaluation", "end"]


LOG = ([13, 14, 13, 14], [2, 2, 1, 2], [0.0, 1.0, 0.0, 1.0], [14, 15, 14, 15], [False, True, False, True])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_log_is_learnt_with_callbacks(workers: int) -> None:
    def stop(run: RunView) -> bool:
        return run.steps >= 2000

    told, alone = Told(), learner(workers=workers).learn_from(*LOG, passes=1000)
    watched = learner(workers=workers).learn_from(*LOG, passes=1000, callbacks=[told])
    assert watched.table.digest() == alone.table.digest()
    assert (told.told[0], told.told[-1], "checkpoint" in told.told) == ("start", "end", False)
    assert told.told.count("round") == watched.history[-1].rounds
    stopped = learner(workers=workers, sync_every=100).learn_from(*LOG, passes=1000, callbacks=[stop])
    assert 2000 <= stopped.steps < 4000
    assert cdq.QLearner.from_log(*LOG, passes=10, callbacks=[told], seed=0).steps == 40


def test_what_is_no_callback_of_a_log_is_refused() -> None:
    agent = learner()
    for given in (3, [3], Told(), [Told]):
        with pytest.raises(ConfigError, match="callbacks"):
            agent.learn_from(*LOG, callbacks=given)  # type: ignore[arg-type]
    assert agent.steps == 0


def test_evaluations_that_rounds_leave_out_are_told(caplog: pytest.LogCaptureFixture) -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0, sync_every=10_000)
    seen = cdq.EvalCallback(1000, episodes=1)
    agent.learn(50_000, callbacks=[seen])
    assert len(seen.evaluations) == 5
    (line,) = [record.getMessage() for record in caplog.records if "EvalCallback" in record.getMessage()]
    assert line.startswith("EvalCallback(every=1,000) made 5 of 50 evaluations, as rounds are longer")
    caplog.clear()
    agent.learn(50_000, callbacks=[cdq.EvalCallback(10_000, episodes=1)])
    assert not caplog.records


@pytest.mark.parametrize("function", [lambda: None, lambda run, more: None, lambda *, run: None])
def test_functions_that_cannot_be_called_are_refused_before_work(function: Any) -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0)
    with pytest.raises(ConfigError, match="allowed: functions of one argument, the run"):
        agent.learn(1000, callbacks=[function])
    assert agent.steps == 0


def test_a_view_says_where_the_run_is() -> None:
    said = list[str]()
    cdq.QLearner("FrozenLake-v1", seed=0).learn(8000, callbacks=[lambda run: said.append(repr(run))])
    assert said[-1] == "RunView('FrozenLake-v1', 8,000 of 8,000 steps)"
