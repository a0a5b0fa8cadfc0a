# SPDX-License-Identifier: Apache-2.0
"""DeepMimic's motion: joints as by hand, and what is said about files that are none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fasthmr.errors import BadInput
from fasthmr.training.mocap.deepmimic import read_character, read_deepmimic

from .written_formats import (
    DEEPMIMIC_JOINTS,
    character_text,
    damaged,
    deepmimic_frames,
    deepmimic_text,
    turn_about,
    upright,
)

CHARACTER = read_character(character_text(), "humanoid3d.txt")


def rotated(q: list[float]) -> np.ndarray:
    """The columns of a quaternion's rotation: q v q* of the coordinate axes."""

    def times(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        scalar = a[0] * b[0] - a[1:] @ b[1:]
        return np.array([scalar, *(a[0] * b[1:] + b[0] * a[1:] + np.cross(a[1:], b[1:]))])

    one = np.array(q)
    other = one * (1, -1, -1, -1)
    return np.stack([times(times(one, np.array([0, *axis])), other)[1:] for axis in np.eye(3)], -1)


def places_by_hand(row: list[float]) -> dict[str, np.ndarray]:
    numbers = list(row[1:])
    places: list[np.ndarray] = []
    turns: list[np.ndarray] = []
    for _, parent, kind, offset in DEEPMIMIC_JOINTS:
        if kind == "none":
            places.append(np.array(numbers[:3]))
            turns.append(rotated(numbers[3:7]))
            del numbers[:7]
            continue
        own = np.eye(3)
        if kind == "spherical":
            own = rotated(numbers[:4])
            del numbers[:4]
        elif kind == "revolute":
            own = turn_about("z", np.rad2deg(numbers.pop(0)))
        places.append(places[parent] + turns[parent] @ offset)
        turns.append(turns[parent] @ own)
    found = {joint[0]: upright(place) for joint, place in zip(DEEPMIMIC_JOINTS, places, strict=True)}
    found["head_end"] = upright(places[2] + turns[2] @ (0.0, 0.275, 0.0))
    return found


def test_joints_are_where_they_are_by_hand() -> None:
    rows = deepmimic_frames(6, swing=0.9, step=0.025)
    source = read_deepmimic(deepmimic_text(rows), CHARACTER, "clip", 139, 16, "get up")
    assert source.frame_rate == pytest.approx(40)
    assert (source.subject, source.trial, source.label) == (139, 16, "get up")
    for number, row in enumerate(rows):
        for name, place in places_by_hand(row).items():
            found = source.positions[number, source.joint_names.index(name)]
            np.testing.assert_allclose(found, place, atol=1e-5, err_msg=name)
    assert {"head_end", "left_wrist_end"} <= source.end_points


def test_the_character_is_as_written() -> None:
    assert CHARACTER.names == tuple(joint[0] for joint in DEEPMIMIC_JOINTS)
    np.testing.assert_array_equal(CHARACTER.offsets, [joint[3] for joint in DEEPMIMIC_JOINTS])


def with_zero_quaternion() -> str:
    rows = deepmimic_frames(4)
    rows[2][8:12] = [0.0] * 4
    return deepmimic_text(rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no motion of DeepMimic"),
        ("[1, 2]", "no motion of DeepMimic"),
        ('{"Frames": []}', "empty"),
        (deepmimic_text(deepmimic_frames(4))[:-200], "no motion of DeepMimic"),
        (deepmimic_text(deepmimic_frames(4)).replace("0.88", '"up"', 1), "no motion of DeepMimic"),
        (deepmimic_text([row[:-1] for row in deepmimic_frames(4)]), r"a frame has 43 numbers.*has 44"),
        (deepmimic_text(deepmimic_frames(4, step=0.0)), "without duration"),
        (with_zero_quaternion(), "a quaternion is zero at chest"),
    ],
    ids=["empty", "list", "none", "cut", "word", "short", "duration", "zero"],
)
def test_what_is_no_motion_is_said(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as said:
        read_deepmimic(text, CHARACTER, "136_01")
    assert "136_01" in str(said.value)


def character_with(number: int, **entries: object) -> str:
    content = json.loads(character_text())
    content["Skeleton"]["Joints"][number].update(entries)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "no character"),
        (character_with(1, Type="elastic"), "no character.*elastic"),
        (character_with(1, AttachX="far"), "no character.*far"),
        (character_with(0, Type="fixed"), "is the root"),
        (character_with(3, Type="none"), "is the root"),
        (character_with(3, Parent=7), "parent must come before"),
    ],
    ids=["empty", "kind", "offset", "root", "two roots", "order"],
)
def test_what_is_no_character_is_said(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_character(text, "humanoid3d.txt")


@pytest.mark.filterwarnings("ignore")
def test_damage_gives_a_motion_or_a_message() -> None:
    rng, messages = np.random.default_rng(0), 0
    whole, skeleton = deepmimic_text(deepmimic_frames(4)), character_text()
    for number in range(300):
        texts = (damaged(whole, rng), skeleton) if number % 2 else (whole, damaged(skeleton, rng))
        try:
            read_deepmimic(texts[0], read_character(texts[1], "character"), "clip")
        except BadInput:
            messages += 1
    assert 0 < messages < 300
