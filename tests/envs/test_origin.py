"""The environment of a file: kept with its module and arguments, and made again without code that a file names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import cdq
from cdq.cli import main
from cdq.errors import ConfigError, TableError, UnsupportedEnvironment
from cdq.storage.files import read_tensors, write_tensors

SHOP = """
import gymnasium, pathlib
pathlib.Path(__file__).with_name("imported").touch()
from gymnasium import spaces

class Shop(gymnasium.Env):
    observation_space, action_space = spaces.Discrete(3), spaces.Discrete(2)

    def __init__(self, price=1.0, label="", size=(1, 2), render_mode=None):
        self.price, self.label, self.size = price, label, size

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return int(action), self.price * int(action), bool(action), False, {}

gymnasium.register("%s", "%s:Shop", max_episode_steps=20)
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module on the path that registers an environment when it is imported, and leaves a mark."""
    name = f"shop{abs(hash(tmp_path)) % 10**8}"
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / f"{name}.py").write_text(SHOP % (f"{name}-v0", name))
    monkeypatch.syspath_prepend(str(folder))
    yield name
    forget(name)


def forget(name: str) -> None:
    sys.modules.pop(name, None)
    gymnasium.registry.pop(f"{name}-v0", None)


def mark(tmp_path: Path) -> Path:
    return tmp_path / "modules" / "imported"


def anew(name: str, tmp_path: Path) -> None:
    """Let it be as in a process that did not import the module."""
    forget(name)
    mark(tmp_path).unlink(missing_ok=True)


def with_header(source: Path, target: Path, **changes: Any) -> Path:
    tensors, header = read_tensors(source)
    write_tensors(target, tensors, {**header, **changes})
    return target


# ---- kept


@pytest.mark.parametrize(
    "arguments",
    [{"is_slippery": False}, {"map_name": "8x8"}, {"desc": ["SFG", "FHF"]}, {"max_episode_steps": 7}],
)
def test_arguments_are_kept_with_the_name(arguments: dict[str, Any], tmp_path: Path) -> None:
    env = gymnasium.make("FrozenLake-v1", **arguments)
    agent = cdq.QLearner(env, seed=0, checkpoint=tmp_path / "run").learn(2000)
    agent.save(tmp_path / "saved")
    for again in (cdq.QLearner.load(tmp_path / "saved"), cdq.QLearner.resume(tmp_path / "run")):
        assert again.table.digest() == agent.table.digest()
        assert again._task.fingerprint() == agent._task.fingerprint()
        again.save(tmp_path / "once more")
    assert cdq.QLearner.load(tmp_path / "once more").table.digest() == agent.table.digest()
    assert cdq.QLearner.load(tmp_path / "saved", env).table.digest() == agent.table.digest()


def test_a_name_that_says_all_is_all_there_is(tmp_path: Path) -> None:
    for env in ("FrozenLake-v1", gymnasium.make("FrozenLake-v1", render_mode="ansi")):
        cdq.QLearner(env, seed=0).save(tmp_path / "saved")
        assert "made_of" not in read_tensors(tmp_path / "saved")[1]


def test_another_environment_is_still_refused(tmp_path: Path) -> None:
    cdq.QLearner(gymnasium.make("FrozenLake-v1", is_slippery=False), seed=0).save(tmp_path / "saved")
    with pytest.raises(TableError, match="whose model differs"):
        cdq.QLearner.load(tmp_path / "saved", gymnasium.make("FrozenLake-v1"))


# ---- code


def test_no_module_is_imported_because_a_file_names_it(
    shop: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full, saved, run = f"{shop}:{shop}-v0", tmp_path / "saved", tmp_path / "run"
    agent = cdq.QLearner(full, seed=0, checkpoint=run).learn(200)
    agent.save(saved)
    plain = with_header(saved, tmp_path / "plain", environment=full, made_of={})
    nested = with_header(saved, tmp_path / "nested", made_of={"id": f"x:{full}"})
    anew(shop, tmp_path)
    for attempt in (
        lambda: cdq.QLearner.load(saved),
        lambda: cdq.QLearner.load(plain),
        lambda: cdq.QLearner.load(nested),
        lambda: cdq.QLearner.resume(run),
    ):
        with pytest.raises(ConfigError, match="no module is imported because a file names it"):
            attempt()
    for command in (["evaluate", str(saved)], ["train", "--resume", str(run)]):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert f"--env {full}" in said
        assert len(said.splitlines()) == 1
    assert not mark(tmp_path).exists()

    assert main(["train", "--resume", str(run), "--env", full, "--steps", "100", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 300
    assert mark(tmp_path).exists()
    anew(shop, tmp_path)
    assert main(["evaluate", str(saved), "--env", full]) == 0
    # Here it is registered by now: the name is enough.
    assert cdq.QLearner.load(saved).table.digest() == agent.table.digest()
    assert main(["evaluate", str(saved)]) == 0


def test_arguments_of_a_module_of_ones_own(shop: str, tmp_path: Path) -> None:
    def saved(**arguments: Any) -> Path:
        env = gymnasium.make(f"{shop}:{shop}-v0", **arguments)
        cdq.QLearner(env, seed=0).learn(50).save(tmp_path / "saved")
        return tmp_path / "saved"

    full = f"{shop}:{shop}-v0"
    path = saved(price=7.0, size=(3, 4))
    for given in (None, full, gymnasium.make(full, price=7.0, size=(3, 4))):
        assert cdq.QLearner.load(path, given).learn(500).evaluate(5).mean_return == 7.0
    anew(shop, tmp_path)
    assert cdq.QLearner.load(path, full).learn(500).evaluate(5).mean_return == 7.0
    path = saved(label="os:system")
    with pytest.raises(ConfigError, match="which may name code; if you trust them, give env"):
        cdq.QLearner.load(path)
    assert cdq.QLearner.load(path, full).name == f"{shop}-v0"
    path = saved(label=len)  # what JSON does not hold
    with pytest.raises(ConfigError, match=r"what a file does not hold \(label\)"):
        cdq.QLearner.load(path)
    env = gymnasium.wrappers.TransformReward(gymnasium.make(full), lambda reward: -reward)
    cdq.QLearner(env, seed=0).save(path)
    with pytest.raises(ConfigError, match=r"what a file does not hold \(TransformReward\)"):
        cdq.QLearner.load(path)
    assert cdq.QLearner.load(path, env).name == f"{shop}-v0"


@pytest.mark.parametrize(
    "made_of",
    [
        {"id": "FrozenLake-v1", "arguments": [1]},
        {"id": "FrozenLake-v1", "arguments": "x"},
        {"id": "FrozenLake-v1", "time_limit": "long"},
        {"id": "FrozenLake-v1", "time_limit": -1},
        {"id": "FrozenLake-v1", "time_limit": 10**40},
        {"id": "FrozenLake-v1", "wrappers": 5},
    ],
)
def test_nonsense_is_refused(made_of: Any, tmp_path: Path) -> None:
    cdq.QLearner("FrozenLake-v1", seed=0).save(tmp_path / "saved")
    path = with_header(tmp_path / "saved", tmp_path / "changed", made_of=made_of)
    with pytest.raises(ConfigError, match="does not say which environment it was learnt on"):
        cdq.QLearner.load(path)


@pytest.mark.parametrize(
    "arguments", [{"nonsense": 1}, {"id": "x"}, {"desc": 5}, {"map_name": "no such map"}]
)
def test_arguments_that_the_environment_refuses(arguments: dict[str, Any], tmp_path: Path) -> None:
    cdq.QLearner("FrozenLake-v1", seed=0).save(tmp_path / "saved")
    made_of = {"id": "FrozenLake-v1", "arguments": arguments}
    path = with_header(tmp_path / "saved", tmp_path / "changed", made_of=made_of)
    with pytest.raises(UnsupportedEnvironment, match="cannot make"):
        cdq.QLearner.load(path)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (
            {"desc": ["S" * 400] * 400},
            TableError,
            "a map of 160,000 places, and its table has 16 rows; use another",
        ),
        (
            {"desc": ["S" * 5] * 4},
            TableError,
            "a map of 20 places, and its table has 16 rows; use another copy",
        ),
        (
            {"map_name": "S" * 70_000},
            ConfigError,
            "an argument has 70,002 bytes, and none that is kept has more",
        ),
    ],
    ids=["large", "other", "long"],
)
def test_a_map_that_is_not_the_tables_is_not_made(
    arguments: dict[str, Any],
    error: type[Exception],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cdq.QLearner("FrozenLake-v1", seed=0).save(tmp_path / "saved")
    made_of = {"id": "FrozenLake-v1", "arguments": arguments}
    path = with_header(tmp_path / "saved", tmp_path / "changed", made_of=made_of)
    monkeypatch.setattr(gymnasium, "make", None)
    for env in (None, "FrozenLake-v1"):
        with pytest.raises(error, match=said):
            cdq.QLearner.load(path, env)


def test_a_map_of_ones_own_is_made_again(tmp_path: Path) -> None:
    env = gymnasium.make("FrozenLake-v1", desc=["SFF", "FHG"])
    cdq.QLearner(env, seed=0).save(tmp_path / "saved")
    assert cdq.QLearner.load(tmp_path / "saved").table.n_states == 6


def test_a_model_that_differs_is_told_with_its_arguments(tmp_path: Path) -> None:
    cdq.QLearner(gymnasium.make("FrozenLake-v1", is_slippery=False), seed=0).save(tmp_path / "saved")
    with pytest.raises(
        TableError, match=r"on FrozenLake-v1 with the arguments \{'is_slippery': False\}, whose"
    ):
        cdq.QLearner.load(tmp_path / "saved", gymnasium.make("FrozenLake-v1"))


def test_no_file_opens_a_window(tmp_path: Path) -> None:
    cdq.QLearner("FrozenLake-v1", seed=0).save(tmp_path / "saved")
    made_of = {"id": "FrozenLake-v1", "arguments": {"render_mode": "human"}}
    path = with_header(tmp_path / "saved", tmp_path / "changed", made_of=made_of)
    assert cdq.QLearner.load(path).evaluate(2).episodes == 2


@pytest.mark.parametrize("made_of", [[], "evil:Evil-v0", 5, None])
def test_what_is_no_origin_does_not_count(made_of: Any, tmp_path: Path) -> None:
    cdq.QLearner("FrozenLake-v1", seed=0).save(tmp_path / "saved")
    path = with_header(tmp_path / "saved", tmp_path / "changed", made_of=made_of)
    assert cdq.QLearner.load(path).name == "FrozenLake-v1"


@pytest.mark.parametrize("comm", ["zmq+tcp://127.0.0.1:1", "mpi://?timeout=1", "evil", "evil://x"])
def test_no_file_says_where_to_connect(comm: str, tmp_path: Path) -> None:
    cdq.QLearner("FrozenLake-v1", seed=0).save(tmp_path / "saved")
    header = read_tensors(tmp_path / "saved")[1]
    changed = with_header(
        tmp_path / "saved", tmp_path / "changed", settings={**header["settings"], "comm": comm}
    )
    assert cdq.QLearner.load(changed).settings.comm == "auto"


def test_a_script_that_imported_the_module_needs_no_more(shop: str, tmp_path: Path) -> None:
    program = f"""
import sys; sys.path.insert(0, {str(tmp_path / "modules")!r})
import {shop}, cdq
cdq.QLearner("{shop}-v0", seed=0, workers=1).learn(100).save("saved")
print(cdq.QLearner.load("saved").name)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(cdq.__file__).parents[1])}
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=True,
    )
    assert ended.stdout == f"{shop}-v0\n"
    with pytest.raises(ConfigError, match=f"learnt on '{shop}:{shop}-v0', and no module is imported"):
        cdq.QLearner.load(tmp_path / "saved")
