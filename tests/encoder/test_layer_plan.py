# SPDX-License-Identifier: Apache-2.0
"""Plans of merged layers: what they accept, and their file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasthmr.encoder.layer_plan import (
    VARIANTS,
    LayerPlan,
    PlanSource,
    WindowTest,
    joined,
    recipe,
    uniform_plan,
)
from fasthmr.errors import BadCall, BadInput

PLAN = LayerPlan(
    layers=6,
    groups=((0,), (1, 2), (3, 4, 5)),
    metric="difference_mm",
    baseline=0.0,
    value=0.05,
    tau=0.1,
    tests=(WindowTest(4, 5, 0.02, True), WindowTest(3, 5, 0.04, True), WindowTest(2, 5, None, False)),
    source=PlanSource("hmr2.ckpt", "ab" * 32),
    calibration={"crops": 64, "clips": [{"name": "walk.mp4"}]},
)


def test_file_gives_back_the_same_plan(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    PLAN.save(path)
    assert LayerPlan.load(path) == PLAN
    assert LayerPlan.from_json(json.loads(path.read_text())) == PLAN
    assert json.loads(path.read_text())["groups"] == [[0], [1, 2], [3, 4, 5]]


def test_checkpoint_metadata_may_hold_it() -> None:
    assert LayerPlan.from_json(json.loads(json.dumps(PLAN.to_json()))) == PLAN
    assert len(PLAN.to_json()["groups"]) == PLAN.depth == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": [[0], [2, 1]]}, "not consecutive"),
        ({"groups": [[0], [1, 3]]}, "not consecutive"),
        ({"groups": [[0, 1], [1, 2]]}, "named twice"),
        ({"groups": [[2], [0, 1]]}, "not in order"),
        ({"groups": [[0], [5, 6]]}, "layer 6"),
        ({"groups": [[-1, 0]]}, "below 0"),
        ({"groups": []}, "one layer or more"),
        ({"groups": [[0], []]}, "not consecutive"),
        ({"groups": [["0"]]}, "int"),
        ({"layers": 0}, "one layer or more"),
        ({"variant": "sum"}, "variant|enum"),
        ({"schema": 2}, "newer version"),
        ({"tests": [{"low": 3, "high": 3, "value": 0.0, "accepted": True}]}, "never tested"),
        ({"tests": [{"low": 3, "high": 4}]}, "value"),
        ({"surprise": 1}, "surprise"),
        ({"baseline": "low"}, "float"),
    ],
)
def test_what_is_no_plan_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text(json.dumps(PLAN.to_json() | change))
    with pytest.raises(BadInput, match=message) as caught:
        LayerPlan.load(path)
    assert "odd.json" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"layers": 3}', "\x00", "[" * 100_000])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(BadInput, match="no plan"):
        LayerPlan.load(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.json"):
        LayerPlan.load(tmp_path / "nowhere.json")
    with pytest.raises(BadInput, match="cannot be read"):
        LayerPlan.load(tmp_path)


def test_description_says_what_matters() -> None:
    text = PLAN.describe()
    assert "6 layers become 3" in text
    assert "layers 3 to 5 become layer 2" in text
    assert "layer 1 is deleted" in text
    assert "0.000 before, 0.050 after (+0.050)" in text
    assert "3 windows tested" in text
    assert "hmr2.ckpt" in text
    drop = LayerPlan(layers=4, groups=((0,), (3,)), finished=False, tau=1.0)
    assert drop.dropped == (1, 2)
    assert "dropped: 1, 2" in drop.describe()
    assert "not finished" in drop.describe()


@given(st.integers(1, 40), st.integers(1, 40))
def test_uniform_plans_are_even(layers: int, target: int) -> None:
    if target > layers:
        with pytest.raises(BadCall, match="cannot become"):
            uniform_plan(layers, target)
        return
    groups = uniform_plan(layers, target).groups
    assert [layer for group in groups for layer in group] == list(range(layers))
    assert len(groups) == target
    sizes = {len(group) for group in groups}
    assert max(sizes) - min(sizes) <= 1


def test_uniform_plan_of_the_paper_s_size() -> None:
    plan = uniform_plan(32, 26)
    assert sum(len(group) == 2 for group in plan.groups) == 6
    assert plan.source is None


def test_equal_networks_have_equal_recipes() -> None:
    pair, three = [(0,), (1, 2), (3,)], [(0, 1, 2), (3,)]
    assert recipe(pair, "formula") == recipe(pair, "keep_last") == recipe([(0,), (2,), (3,)], "mean")
    assert recipe(pair, "keep_first") == ("0", "1", "3")
    assert recipe(pair, "mean") == ("0", "mean 1-2", "3")
    assert recipe(three, "formula") == ("formula 0-2", "3")
    assert len({recipe(three, variant) for variant in VARIANTS}) == 4


def test_windows_become_groups() -> None:
    assert joined(5, [(3, 4), (0, 1)]) == ((0, 1), (2,), (3, 4))
    for windows in ([(0, 2), (2, 3)], [(3, 5)], [(2, 1)]):
        with pytest.raises(ValueError, match="overlaps"):
            joined(5, windows)
