"""Small tables and pictures for notebooks."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.learner.report import Report
from cdq.storage import html as _html


def parsed(html: str) -> ET.Element:
    """Return HTML as a tree; raises where a tag is left open."""
    return ET.fromstring(f"<body>{html}</body>")


def cells(html: str) -> list[list[str]]:
    return [[cell.text or "" for cell in row.iter("td")] for row in parsed(html).iter("tr")]


def test_texts_are_escaped() -> None:
    bad = '<script>alert("x")</script>'
    for html in (
        _html.table([bad], [[bad]], bad),
        _html.grid([[_html.Cell(bad, 0.5, bad)]], bad),
        _html.curve(np.arange(3), np.arange(3.0), bad),
    ):
        assert "<script" not in html
        parsed(html)


def test_colours_go_from_dark_to_light_with_ink_that_is_seen() -> None:
    html = _html.grid([[_html.Cell("a", 0.0, ""), _html.Cell("b", 1.0, ""), _html.Cell("c", None, "")]], "x")
    styles = [cell.attrib["style"] for cell in parsed(html).iter("td")]
    assert "background:rgb(68,1,84);color:#fff" in styles[0]
    assert "background:rgb(253,231,37);color:#000" in styles[1]
    assert "background:rgb(200,200,200);color:#000" in styles[2]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 1.0], [0.5, 0.5]),
        ([0.0, np.nan, 4.0], [0.0, np.nan, 1.0]),
        ([-np.inf, 0.0, 1.0], [0.0, 0.0, 1.0]),
        ([-1e308, 1e308], [0.5, 0.5]),
        ([], []),
    ],
)
def test_levels(values: Any, expected: Any) -> None:
    np.testing.assert_array_equal(_html.levels(np.array(values)), expected)


def test_a_curve_spans_its_picture_and_leaves_out_what_is_not_known() -> None:
    html = _html.curve(np.array([0, 10, 20, 30]), np.array([1.0, np.nan, 3.0, 2.0]), "gap")
    points = parsed(html).find(".//polyline").attrib["points"]  # type: ignore[union-attr]
    assert points == "14.0,106.0 275.3,28.0 406.0,67.0"
    assert "gap: 1 to 3, in 30 steps" in html
    assert _html.curve(np.array([1]), np.array([1.0]), "gap") == ""


# ---- what notebooks show


def test_a_learner_is_a_grid_with_arrows_and_its_curves() -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0).learn(200_000)
    html = agent._repr_html_()
    assert cells(html)[:4] == [line.split(" ") for line in agent.table.render().splitlines()[:4]]
    assert html.count("<svg") == 2
    assert "QLearner(&#x27;FrozenLake-v1&#x27;, workers=1, steps=200000)" in html


def test_a_table_without_a_grid_shows_its_first_rows() -> None:
    table = cdq.QTable(np.arange(40.0).reshape(20, 2), environment="<shop>")
    rows = cells(table._repr_html_())
    assert rows[1] == ["0", "0", "1", "1"]
    assert rows[-1] == ["... 12 more"]
    assert "QTable of &lt;shop&gt;: 20 states" in table._repr_html_()


def test_wide_tables_and_hashed_ones_are_small_too() -> None:
    wide = cdq.QTable(np.zeros((2, 1000)))
    assert len(wide._repr_html_()) < 2_000
    assert len(wide.render()) < 500
    keys = np.array([7, 2**64 - 1], np.uint64)
    hashed = cdq.QTable(np.zeros((2, 1)), keys=keys)
    assert cells(hashed._repr_html_())[2][0] == str(2**64 - 1)
    assert hashed.render().splitlines()[0].split()[0] == "key"


def test_a_large_grid_shows_rows_in_its_place() -> None:
    n = 40 * 40
    model = cdq.MDP.from_outcomes(range(n), [0] * n, range(n), [1.0] * n, [0.0] * n, grid=(40, 40))
    assert len(cdq.QTable(np.zeros((n, 1)), model=model)._repr_html_()) < 2_000
    assert len(model._repr_html_()) < 2_000


def test_a_model_on_a_grid_is_its_map() -> None:
    assert cells(cdq.MDP.from_gymnasium("CliffWalking-v1")._repr_html_())[3] == ["S", *"..........", "G"]
    rows = cells(cdq.MDP.from_gymnasium("Taxi-v4")._repr_html_())
    assert ["states", "500"] in rows
    assert ["rewards", "-10 to 20"] in rows


def test_solutions_histories_and_reports_are_tables() -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0)
    assert "without rows" in agent.history._repr_html_()
    agent.learn(20_000)
    assert ["steps", "20,000"] in cells(agent.history._repr_html_())
    parsed(agent.history._repr_html_())
    report = agent.report()
    assert ["env", "FrozenLake-v1"] in cells(report._repr_html_())
    assert ["steps", "20,000"] in cells(report._repr_html_())
    solution = cdq.solve("FrozenLake-v1", gamma=0.99)
    assert cells(solution._repr_html_())[1] == ["0", "0.542", "0.5278", "0.5278", "0.5223", "0"]


def test_a_report_is_a_json_object_as_before() -> None:
    report = cdq.QLearner("FrozenLake-v1", seed=0).learn(5_000).report()
    assert isinstance(report, dict)
    assert json.loads(json.dumps(report)) == report
    assert re.search("<p>a &lt; b</p>", Report(env="x", hints=["a < b"])._repr_html_())


def test_a_learner_that_is_learning_shows_its_history() -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0).learn(20_000)
    with agent._turn.taken("learn"):
        html = agent._repr_html_()
    assert "QTable" not in html
    assert ["steps", "20,000"] in cells(html)


# ---- as text


def test_a_table_of_a_file_gets_arrows_from_a_model() -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0).learn(100_000)
    alone = cdq.QTable(agent.table.values)
    assert alone.render(agent.model) == agent.table.render()
    assert "H" not in alone.render()
    with pytest.raises(cdq.errors.TableError, match=r"the table has shape \(16, 4\), and .* needs \(64, 4\)"):
        alone.render(cdq.MDP.from_gymnasium("FrozenLake8x8-v1"))


def test_a_long_table_is_cut() -> None:
    lines = cdq.QTable(np.zeros((1000, 2))).render().splitlines()
    assert len(lines) == 22
    assert lines[-1] == "... 980 more states"
