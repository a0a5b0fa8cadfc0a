# SPDX-License-Identifier: Apache-2.0
"""BVH: joints as by hand for any order of channels, and what is said about files that are none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from fasthmr.errors import BadInput
from fasthmr.training.mocap.bvh import ACRNN, CC_BASE, BvhKind, read_bvh

from .written_formats import damaged, turn_about, upright


@dataclass(frozen=True)
class Bone:
    """A joint: its offset, its channels, and its children; no channels are an end site."""

    name: str
    offset: tuple[float, float, float]
    channels: tuple[str, ...]
    children: tuple[Bone, ...] = ()


PLACE = ("Xposition", "Yposition", "Zposition")
TREE = Bone(
    "hip",
    (0.5, 1.0, -0.5),
    (*PLACE, "Zrotation", "Xrotation", "Yrotation"),
    (
        Bone(
            "abdomen",
            (0.0, 12.0, 1.0),
            ("Yrotation", "Zrotation", "Xrotation"),
            (
                Bone("chest", (0.0, 20.0, 0.0), ("Xrotation",), (Bone("", (0, 9, 3), ()),)),
                Bone("lCollar", (4.0, 18.0, 0.0), (*PLACE, "Xrotation", "Yrotation", "Zrotation")),
            ),
        ),
        Bone("lThigh", (9.0, -5.0, 0.0), ("Zrotation", "Yrotation"), (Bone("", (0, -40, 0), ()),)),
    ),
)


def hierarchy(bone: Bone = TREE, depth: int = 0) -> list[str]:
    pad = "\t" * depth
    head = f"{pad}{'ROOT' if not depth else 'JOINT'} {bone.name}" if bone.name else f"{pad}End Site"
    lines = [head, f"{pad}{{", f"{pad}\tOFFSET " + " ".join(map(str, bone.offset))]
    if bone.channels:
        lines.append(f"{pad}\tCHANNELS {len(bone.channels)} " + " ".join(bone.channels))
    for child in bone.children:
        lines += hierarchy(child, depth + 1)
    return [*lines, f"{pad}}}"]


def width(bone: Bone = TREE) -> int:
    return len(bone.channels) + sum(width(child) for child in bone.children)


def values(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-70, 70, (count, width())).round(5)


def bvh_text(rows: np.ndarray, step: float = 1 / 120) -> str:
    motion = ["MOTION", f"Frames: {len(rows)}", f"Frame Time: {step:.8f}"]
    motion += [" ".join(map(str, row)) for row in rows]
    return "\n".join(["HIERARCHY", *hierarchy(), *motion]) + "\n"


def places_by_hand(row: np.ndarray) -> dict[str, np.ndarray]:
    """Centimetres, y up: turns about the axes as they are turned already, in the order they are told."""
    numbers = list(row)
    found: dict[str, np.ndarray] = {}

    def visit(bone: Bone, place: np.ndarray, turn: np.ndarray, above: str) -> None:
        shift, own = np.array(bone.offset, float), np.eye(3)
        for channel in bone.channels:
            value, axis = numbers.pop(0), channel[0].lower()
            if channel.endswith("position"):
                shift["xyz".index(axis)] += value
            else:
                own = own @ turn_about(axis, value)
        place = place + turn @ shift
        found[bone.name or f"{above}_end"] = place
        for child in bone.children:
            visit(child, place, turn @ own, bone.name)

    visit(TREE, np.zeros(3), np.eye(3), "")
    return found


def test_joints_are_where_they_are_by_hand() -> None:
    rows = values(6)
    source = read_bvh(bvh_text(rows), ACRNN, "clip", label="salsa")
    assert source.frame_rate == pytest.approx(120, rel=1e-4)
    assert (source.frame_count, source.skeleton, source.label) == (6, "acrnn_bvh", "salsa")
    assert source.end_points == {"chest_end", "lThigh_end"}
    for number, row in enumerate(rows):
        places = places_by_hand(row)
        assert set(places) == set(source.joint_names)
        for name, place in places.items():
            found = source.positions[number, source.joint_names.index(name)]
            np.testing.assert_allclose(found, 0.01 * upright(place), atol=1e-5, err_msg=name)


def test_parents_are_those_of_the_braces() -> None:
    source = read_bvh(bvh_text(values(2)), ACRNN, "clip")
    parent = {
        name: source.joint_names[above]
        for name, above in zip(source.joint_names, source.parents, strict=True)
        if above >= 0
    }
    assert parent == {
        "abdomen": "hip",
        "chest": "abdomen",
        "chest_end": "chest",
        "lCollar": "abdomen",
        "lThigh": "hip",
        "lThigh_end": "lThigh",
    }


def test_a_wrong_header_is_overruled_and_a_first_t_pose_skipped() -> None:
    rows = values(5)
    source = read_bvh(bvh_text(rows), CC_BASE, "clip", frame_rate=60.0)
    assert (source.frame_rate, source.frame_count) == (60.0, 4)
    place = 0.01 * upright(places_by_hand(rows[1])["chest"])
    np.testing.assert_allclose(source.positions[0, source.joint_names.index("chest")], place, atol=1e-5)
    inches = read_bvh(bvh_text(rows), BvhKind("acrnn_bvh", 0.0254), "clip")
    np.testing.assert_allclose(inches.positions[1:] / 2.54, source.positions, atol=1e-4)


WHOLE = bvh_text(values(4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no BVH file, or it is cut off"),
        ("HIERARCHY\n", "has no MOTION"),
        ("a,b,c\n", "line 1: this is no BVH file"),
        (WHOLE[: WHOLE.index("MOTION")], "has no MOTION"),
        ("\n".join(WHOLE.splitlines()[:-1]), "4 frames .* are announced.*cut off"),
        (WHOLE[:-9], "cannot be read|cut off"),
        (WHOLE[: WHOLE.index("Frames")], "the motion cannot be read"),
        (WHOLE.replace("}", "", 1), "not closed"),
        (WHOLE.replace("}", "}\n}", 4), "a brace too many|is not expected|belongs to no joint"),
        (WHOLE.replace("CHANNELS 1 X", "CHANNELS 2 X"), "2 channels are announced, 1 named"),
        (WHOLE.replace("CHANNELS 1 Xrotation", "CHANNELS 1 Wrotation"), "'wrotation' is not known"),
        (WHOLE.replace("2 Zrotation Yrotation", "2 Zrotation Zrotation"), "named twice"),
        (WHOLE.replace("OFFSET 9.0 -5.0 0.0", "OFFSET 9.0 -5.0"), r"line \d+: this is no BVH"),
        (WHOLE.replace("Frame Time: 0.00833333", "Frame Time: 0"), "announced"),
        (WHOLE.replace("Frame Time: 0.00833333", "Frame Time: nan"), "announced"),
        (WHOLE.replace(str(values(4)[2, 3]), "nan"), "not finite"),
    ],
    ids=str,
)
def test_what_is_no_motion_is_said(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as said:
        read_bvh(text, ACRNN, "salsa/01")
    assert "salsa/01" in str(said.value)


def test_a_t_pose_alone_is_no_motion() -> None:
    with pytest.raises(BadInput, match="no motion"):
        read_bvh(bvh_text(values(1)), CC_BASE, "clip")


@pytest.mark.filterwarnings("ignore")
def test_damage_gives_a_motion_or_a_message() -> None:
    rng, messages = np.random.default_rng(0), 0
    for _ in range(400):
        try:
            read_bvh(damaged(WHOLE, rng), ACRNN, "clip")
        except BadInput:
            messages += 1
    assert 0 < messages < 400
