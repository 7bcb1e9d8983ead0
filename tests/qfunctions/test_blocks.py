"""Blocks: named parts of one table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete

import cdq
from cdq.contracts.blocks import Block, Blocks, blocks_in
from cdq.envs.blocks import BlockEncoder, blocks_of
from cdq.envs.spaces import Encoder
from cdq.errors import ConfigError, FileError, UnsupportedEnvironment
from cdq.qfunctions import tables_of
from cdq.storage import write_tensors

THREE = Blocks((Block("a", 3, 2), Block("b", 1, 4, "own"), Block("c", 5, 3, "own")))


def test_rows_follow_one_another() -> None:
    assert THREE.first.tolist() == [0, 3, 4, 9]
    assert THREE.of_rows([0, 2, 3, 4, 8]).tolist() == [0, 0, 1, 2, 2]
    assert (THREE.n_rows, THREE.n_actions, THREE.uneven) == (9, 4, True)
    assert THREE.masks.tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0]]


def test_own_blocks_have_an_owner_each() -> None:
    assert [THREE.owner_of(number) for number in range(3)] == [None, 0, 1]


def test_header_brings_them_back() -> None:
    assert blocks_in({"blocks": THREE.to_config()}) == THREE
    assert blocks_in({}) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("", 1, 1), "the name of a block is ''"),
        ((3, 1, 1), "the name of a block is 3"),
        (("a", 0, 1), "rows of block 'a' is 0"),
        (("a", 1, 0), "actions of block 'a' is 0"),
        (("a", 2.5, 1), "rows of block 'a' is 2.5"),
        (("a", 1, 1, "mine"), "home of block 'a' is 'mine'; allowed: 'all' or 'own'"),
    ],
)
def test_block_refuses(arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        cdq.Block(*arguments)  # type: ignore[arg-type]


def test_blocks_refuse() -> None:
    with pytest.raises(ConfigError, match="0 blocks"):
        Blocks(())
    with pytest.raises(ConfigError, match="the same name: 'a'"):
        Blocks((Block("a", 1, 1), Block("b", 1, 1), Block("a", 2, 2)))
    with pytest.raises(ConfigError, match="rows together"):
        Blocks((Block("a", 2**63, 1), Block("b", 1, 1)))
    with pytest.raises(ConfigError, match=r"unknown table 'd'; known: a, b, c"):
        THREE.number_of("d")


def test_tables_are_views_of_rows_and_columns() -> None:
    values = np.arange(36.0).reshape(9, 4)
    tables = tables_of(cdq.QTable(values, values.astype(np.int64), "city"), THREE)
    assert list(tables) == ["a", "b", "c"]
    np.testing.assert_array_equal(tables["c"].values, values[4:9, :3])
    np.testing.assert_array_equal(tables["c"].visits, values[4:9, :3])
    assert repr(tables["b"]) == "QTable of b of city: 1 states, 4 actions, float64"


def test_tables_of_a_hashed_one_have_keys_of_their_own() -> None:
    keys = np.array([8, 0, 3, 4], np.uint64)
    tables = tables_of(cdq.QTable(np.eye(4), keys=keys), THREE)
    found = {name: [] if table.keys is None else table.keys.tolist() for name, table in tables.items()}
    assert found == {"a": [0], "b": [0], "c": [4, 0]}


def encoder_of(*spaces: tuple[object, int]) -> BlockEncoder:
    encoders = [Encoder(space, Discrete(n)) for space, n in spaces]  # type: ignore[arg-type]
    names = [f"n{number}" for number in range(len(spaces))]
    return BlockEncoder(blocks_of(names, encoders), encoders, {"agent": 1})


def test_equal_observations_of_two_blocks_are_two_rows() -> None:
    encoder = encoder_of((Discrete(4), 2), (MultiDiscrete([2, 3]), 5))
    assert encoder.state_of(encoder.placed(1, "n0")) == 1
    assert (
        encoder.state_of(encoder.placed([0, 1], "n1"))
        == encoder.state_of(encoder.placed([0, 1], "agent"))
        == 5
    )
    assert encoder.split(encoder.placed([1, 2], "n0")) == [(0, 1), (0, 2)]


def test_keys_of_two_blocks_differ_where_observations_have_no_index() -> None:
    encoder = encoder_of((MultiBinary(80), 2), (MultiBinary(80), 2), (Discrete(3), 2))
    bits = np.ones(80, np.int8)
    keys = [encoder.state_of(encoder.placed(bits, name)) for name in ("n0", "n1")] + [
        encoder.state_of(encoder.placed(1, "n2"))
    ]
    assert encoder.blocks.of_rows(keys).tolist() == [0, 1, 2]
    assert keys[2] - int(encoder.blocks.first[2]) == 1


def test_mask_of_an_observation_is_that_of_its_block() -> None:
    masked = Dict({"observation": Discrete(2), "action_mask": MultiBinary(3)})
    encoder = encoder_of((masked, 3), (Discrete(2), 4))
    given = {"observation": 1, "action_mask": np.array([1, 0, 1], np.int8)}
    assert encoder.mask_of(encoder.placed(given, "n0")).tolist() == [True, False, True]
    assert encoder.mask_of(encoder.placed(1, "n1")) is None


def test_names_that_are_not_known_and_missing_ones() -> None:
    encoder = encoder_of((Discrete(2), 2), (Discrete(2), 2))
    with pytest.raises(ConfigError, match=r"whose observation is it\? Give one of the names agent, n0, n1"):
        encoder.state_of(1)
    with pytest.raises(ConfigError, match=r"unknown name 'n3'"):
        encoder.placed(1, "n3")
    alone = encoder_of((Discrete(2), 2))
    assert alone.state_of(1) == 1


def test_vectors_are_refused_by_the_name_of_the_block() -> None:
    with pytest.raises(UnsupportedEnvironment, match="n1: observations in Box"):
        encoder_of((Discrete(2), 2), (Box(0.0, 1.0, (2,)), 2))


@pytest.mark.parametrize(
    "told", [3, [], [["a"]], [["a", 3, 2]], [["a", 9, 4, "moon"]], [["a", 9, 5]], [["a", -9, 4]]]
)
def test_headers_that_describe_another_table(told: object, tmp_path: Path) -> None:
    path = tmp_path / "table.safetensors"
    tensors = {"values": np.zeros((9, 4)), "visits": np.zeros((9, 4), np.int64)}
    write_tensors(path, tensors, {"kind": "table", "environment": "city", "blocks": told})
    assert cdq.QTable.load(path).shape == (9, 4)
    with pytest.raises(FileError, match=r"the header of .*table\.safetensors describes"):
        cdq.QTable.load(path, "a")
