# SPDX-License-Identifier: Apache-2.0
"""Maps of joints: both sides alike, whole or refused, and every name is one that the readers give."""

from __future__ import annotations

from itertools import pairwise

import pytest

from fasthmr.errors import BadInput
from fasthmr.training.mocap.deepmimic import _ENDS
from fasthmr.training.mocap.expmap import _SKELETON
from fasthmr.training.mocap.joint_maps import SKELETONS, anchor_index, joint_map, skeleton_names, stick_edges

from .synthetic_motion import anchors_of
from .written_formats import DEEPMIMIC_JOINTS

NAMINGS = [name for name in SKELETONS if name != "smpl"]


@pytest.mark.parametrize("skeleton", NAMINGS)
def test_maps_are_the_same_on_both_sides(skeleton: str) -> None:
    anchors = anchors_of(skeleton)
    rows = {(a.carrier, a.place, a.shift) for a in anchors}
    for carrier, place, (x, y, z) in rows:
        other = [
            name.replace("left_", "R").replace("right_", "left_").replace("R", "right_")
            for name in (carrier, place)
        ]
        assert (other[0], other[1], (-x if x else x, y, z)) in {
            (c, p, tuple(v if v else 0.0 for v in s)) for c, p, s in rows
        }, carrier
    assert len({a.sources for a in anchors}) == len(anchors)


def test_a_skeleton_without_knees_is_refused() -> None:
    names = [name for name in skeleton_names("cmu_asf") if name not in ("lfemur",)]
    with pytest.raises(BadInput, match="left_knee"):
        joint_map("cmu_asf", names)
    with pytest.raises(BadInput, match="not known"):
        joint_map("fish", names)


def test_sticks_join_limbs() -> None:
    anchors = anchors_of("cmu_asf")
    named = {(anchors[a].sources[0], anchors[b].sources[0]) for a, b in stick_edges(anchors)}
    assert {
        ("lhipjoint", "lfemur"),
        ("rfemur", "rtibia"),
        ("lhumerus", "lwrist"),
        ("rtibia", "rfoot"),
    } <= named


@pytest.mark.parametrize(
    ("skeleton", "given"),
    [
        ("cmu_expmap", {joint for joint, _, _ in _SKELETON}),
        ("deepmimic", {*_ENDS, *(joint[0] for joint in DEEPMIMIC_JOINTS)}),
    ],
)
def test_names_are_those_of_the_readers(skeleton: str, given: set[str]) -> None:
    assert set(skeleton_names(skeleton)) <= given


@pytest.mark.parametrize("skeleton", NAMINGS)
def test_right_joints_have_names_of_their_own(skeleton: str) -> None:
    names = skeleton_names(skeleton)
    assert len(set(names)) == len(names)
    anchors = anchors_of(skeleton)
    for left, right in pairwise(anchors):
        if "left" in left.carrier + left.place:
            assert right == left.mirrored(right.sources)
            assert right.mirrored(left.sources) == left


def test_joints_that_are_missing_are_left_out() -> None:
    names = [name for name in skeleton_names("cmu_asf") if name not in ("lthumb", "head")]
    fewer, every = joint_map("cmu_asf", names), anchors_of("cmu_asf")
    assert [anchor for anchor in every if anchor not in fewer] == [
        anchor for anchor in every if anchor.sources[0] in ("lthumb", "head")
    ]


def test_anchors_are_found_by_place_and_carrier() -> None:
    anchors = anchors_of("cmu_asf")
    index = anchor_index(anchors, "left_knee")
    assert index is not None
    assert anchors[index].sources == ("lfemur",)
    assert anchor_index(anchors, "left_knee", "left_hip") == index
    assert anchor_index(anchors, "left_knee", "pelvis") is None
    assert anchor_index(anchors, "left_collar") is None
