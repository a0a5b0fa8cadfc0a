# SPDX-License-Identifier: Apache-2.0
"""Exponential maps: joints as by hand in row vectors, and what is said about files that are none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm

from fasthmr.errors import BadInput
from fasthmr.training.mocap.expmap import _SKELETON, read_expmap

from .written_formats import damaged, expmap_rows, expmap_text, upright


def places_by_hand(row: np.ndarray) -> dict[str, np.ndarray]:
    """Metres, z up: a row vector of a child's axes is turned by the child, then by everything above it."""
    turns: dict[str, np.ndarray] = {}
    places: dict[str, np.ndarray] = {}
    for number, (name, parent, offset) in enumerate(_SKELETON):
        x, y, z = row[3 + 3 * number : 6 + 3 * number]
        own = expm(np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]))
        turns[name] = own @ turns[parent] if parent else own
        places[name] = places[parent] + np.array(offset) @ turns[parent] if parent else row[:3]
    return {name: upright(place) * 2.54 / 45 for name, place in places.items()}


def test_joints_are_where_they_are_by_hand() -> None:
    rows = expmap_rows(5, seed=1, swing=0.7)
    source = read_expmap(expmap_text(rows), "clip", label="walking")
    assert (source.frame_count, source.frame_rate, source.label) == (5, 120.0, "walking")
    for number, row in enumerate(rows[1:]):  # the first row is the rest pose
        for name, place in places_by_hand(row).items():
            found = source.positions[number, source.joint_names.index(name)]
            np.testing.assert_allclose(found, place, atol=1e-5, err_msg=name)


def test_the_rest_pose_is_a_person_who_stands() -> None:
    source = read_expmap(expmap_text(np.zeros((3, 117))), "clip")
    at = dict(zip(source.joint_names, source.positions[0], strict=True))
    assert 1.4 < at["Head_end"][2] - at["LeftToeBase"][2] < 1.9
    assert at["LeftHand"][0] - at["RightHand"][0] > 1.2  # arms to the sides, left at +x
    assert at["LeftToeBase_end"][1] < at["LeftFoot"][1]  # toes point ahead, which is -y
    assert source.parents[source.joint_names.index("LeftLeg")] == source.joint_names.index("LeftUpLeg")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no motion"),
        (expmap_text(np.zeros((1, 117))), "no motion"),
        (expmap_text(np.zeros((3, 99))), "line 1: 99 columns instead of 117"),
        (expmap_text(np.zeros((3, 117)))[:-302], "line 3: .* columns"),
        (expmap_text(np.zeros((3, 117))).replace("0.0000000", "zero", 1), "line 1: .*zero"),
        (expmap_text(np.full((3, 117), np.inf)), "not finite"),
    ],
    ids=["empty", "rest only", "columns", "cut", "word", "infinite"],
)
def test_what_is_no_motion_is_said(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as said:
        read_expmap(text, "soccer/1")
    assert "soccer/1" in str(said.value)


def test_damage_gives_a_motion_or_a_message() -> None:
    rng, text, messages = np.random.default_rng(0), expmap_text(expmap_rows(4)).replace(",", ", "), 0
    for _ in range(200):
        try:
            read_expmap(damaged(text, rng), "clip")
        except BadInput:
            messages += 1
    assert 0 < messages < 200
