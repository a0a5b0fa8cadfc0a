# SPDX-License-Identifier: Apache-2.0
"""Where the joints of other skeletons are on an SMPL body.

Every skeleton is a list of anchors: a joint of the source stays at one point of the body, and that
point moves rigidly with one joint of SMPL. A knee is carried by the thigh, a toe by the toe joint, the
top of the head by the head. Points, not rotations: what a skeleton calls rest and how its axes
lie is its own affair. Skeletons do not agree about where a joint is, so each point may shift a little, by
an amount that is found once for a skeleton (:mod:`fasthmr.training.mocap.calibrate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fasthmr.body.skeleton import INDEX, JOINT_NAMES, PARENTS, mirrored
from fasthmr.errors import BadInput


@dataclass(frozen=True)
class Anchor:
    """A source joint and the point of the body that it stays at.

    Attributes:
        sources: names of source joints; the point is the mean of those. One of them for most.
        carrier: SMPL joint whose turning moves the point.
        place: SMPL joint at whose place in the rest pose the point is ...
        shift: ... moved by this much, metres in the body frame (x left, y up, z forward).
        deviation: how far from the point the joint may be found, metres.
        along: how far the point may be shifted for a skeleton along the bone from carrier to place;
            bones of the body have no lengths of their own, only a shape, so this makes up for it.
        across: the same across the bone. Small where a shift could be mistaken for a turn.
        role: "ankle", "ball" and "toe" for feet that are made level on the floor, "crown" for a head
            that is made upright; else empty.
    """

    sources: tuple[str, ...]
    carrier: str
    place: str
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: float = 0.01
    along: float = 0.03
    across: float = 0.03
    role: str = ""

    def mirrored(self, sources: tuple[str, ...]) -> Anchor:
        """The same on the other side of the body."""
        x, y, z = self.shift
        return Anchor(
            sources,
            mirrored(self.carrier),
            mirrored(self.place),
            (-x, y, z),
            self.deviation,
            self.along,
            self.across,
            self.role,
        )


_Shift = tuple[float, float, float]
_HERE: Final[_Shift] = (0.0, 0.0, 0.0)
# The open body's thumb, knuckles, eyes and toes, from the joint named in the anchor.
_THUMB: Final[_Shift] = (0.045, -0.02, 0.055)
_INDEX: Final[_Shift] = (0.01, 0.0, 0.03)
_PINKY: Final[_Shift] = (0.0, 0.0, -0.03)
_EYE: Final[_Shift] = (0.032, 0.042, 0.09)
_TOE: Final[_Shift] = (0.0, -0.015, 0.07)
_CROWN: Final[_Shift] = (0.0, 0.09, 0.01)


def _middle(
    source: str,
    carrier: str,
    place: str,
    shift: _Shift = _HERE,
    deviation: float = 0.02,
    play: float = 0.03,
    role: str = "",
) -> Anchor:
    return Anchor((source,), carrier, place, shift, deviation, play, play, role)


def _limbs(
    hip: str,
    knee: str,
    ankle: str,
    ball: str,
    toe: str,
    shoulder: str,
    elbow: str,
    wrist: str,
    knuckle: str,
    thumb: str,
) -> list[Anchor]:
    """The left limbs; a joint that the skeleton does not have is an empty name."""
    bone = (0.01, 0.06, 0.01)  # deviation, along, across
    rows = (
        (hip, Anchor((hip,), "pelvis", "left_hip", _HERE, 0.01, 0.02, 0.02)),
        (knee, Anchor((knee,), "left_hip", "left_knee", _HERE, *bone)),
        (ankle, Anchor((ankle,), "left_knee", "left_ankle", _HERE, *bone, role="ankle")),
        (ball, Anchor((ball,), "left_ankle", "left_foot", _HERE, *bone, role="ball")),
        (toe, Anchor((toe,), "left_foot", "left_foot", _TOE, 0.015, 0.03, 0.005, role="toe")),
        (shoulder, Anchor((shoulder,), "left_collar", "left_shoulder", _HERE, 0.012, 0.03, 0.03)),
        (elbow, Anchor((elbow,), "left_shoulder", "left_elbow", _HERE, *bone)),
        (wrist, Anchor((wrist,), "left_elbow", "left_wrist", _HERE, *bone)),
        (knuckle, Anchor((knuckle,), "left_wrist", "left_hand", _HERE, 0.02, 0.05, 0.01)),
        (thumb, Anchor((thumb,), "left_wrist", "left_wrist", _THUMB, 0.03, 0.03, 0.03)),
    )
    return [anchor for name, anchor in rows if name]


# Left limbs and the middle; the right side is made from the left.
_CMU_ASF: Final = [
    _middle("root", "pelvis", "pelvis", deviation=0.015),
    _middle("lowerback", "pelvis", "spine1"),
    _middle("upperback", "spine1", "spine2"),
    _middle("thorax", "spine3", "spine3", (0.0, 0.05, 0.0), deviation=0.015),
    _middle("lowerneck", "spine3", "neck", (0.0, -0.03, 0.0)),
    _middle("upperneck", "neck", "head"),
    _middle("head", "head", "head", _CROWN, 0.015, role="crown"),
    *_limbs(
        "lhipjoint", "lfemur", "ltibia", "lfoot", "ltoes",
        "lclavicle", "lhumerus", "lwrist", "lfingers", "lthumb",
    ),
]  # fmt: skip
_CMU_EXPMAP: Final = [
    _middle("Hips", "pelvis", "pelvis", deviation=0.015),
    _middle("Spine", "pelvis", "spine1"),
    _middle("Spine1", "spine1", "spine2"),
    _middle("Neck", "spine3", "spine3", (0.0, 0.05, 0.0), deviation=0.015),
    _middle("Neck1", "spine3", "neck", (0.0, -0.03, 0.0)),
    _middle("Head", "neck", "head"),
    _middle("Head_end", "head", "head", _CROWN, 0.015, role="crown"),
    *_limbs(
        "LeftUpLeg", "LeftLeg", "LeftFoot", "LeftToeBase", "LeftToeBase_end",
        "LeftArm", "LeftForeArm", "LeftHand", "LeftHandIndex1_end", "LThumb_end",
    ),
]  # fmt: skip
_ACRNN: Final = [
    _middle("hip", "pelvis", "pelvis", deviation=0.015, play=0.06),
    _middle("abdomen", "spine1", "spine2", (0.0, -0.03, 0.0)),
    _middle("chest", "spine2", "spine3", (0.0, 0.01, 0.0)),
    _middle("neck", "spine3", "neck", deviation=0.015),
    _middle("head", "neck", "head"),
    _middle("leftEye", "head", "head", _EYE, deviation=0.015, role="crown"),
    *_limbs(
        "lThigh", "lShin", "lFoot", "lFoot_end", "",
        "lShldr", "lForeArm", "lHand", "lMid1", "lThumb2",
    ),
    _middle("lCollar", "spine3", "left_collar"),
    _middle("lIndex1", "left_wrist", "left_hand", _INDEX, play=0.015),
    _middle("lPinky1", "left_wrist", "left_hand", _PINKY, play=0.015),
]  # fmt: skip
_CC_BASE: Final = [
    _middle("CC_Base_Hip", "pelvis", "pelvis", deviation=0.015),
    _middle("CC_Base_Waist", "pelvis", "spine1", (0.0, -0.03, 0.0)),
    _middle("CC_Base_Spine01", "pelvis", "spine1"),
    _middle("CC_Base_Spine02", "spine2", "spine3"),
    _middle("CC_Base_NeckTwist01", "spine3", "neck"),
    _middle("CC_Base_Head", "neck", "head"),
    _middle("CC_Base_L_Eye", "head", "head", _EYE, deviation=0.015, role="crown"),
    *_limbs(
        "CC_Base_L_Thigh", "CC_Base_L_Calf", "CC_Base_L_Foot", "CC_Base_L_ToeBase", "",
        "CC_Base_L_Upperarm", "CC_Base_L_Forearm", "CC_Base_L_Hand", "CC_Base_L_Mid1", "",
    ),
    _middle("CC_Base_L_Clavicle", "spine3", "left_collar"),
    _middle("CC_Base_L_Index1", "left_wrist", "left_hand", _INDEX, play=0.015),
    _middle("CC_Base_L_Pinky1", "left_wrist", "left_hand", _PINKY, play=0.015),
]  # fmt: skip
_DEEPMIMIC: Final = [
    _middle("root", "pelvis", "pelvis", (0.0, -0.08, 0.008), deviation=0.015),
    _middle("chest", "spine1", "spine1", (0.0, 0.035, 0.0)),
    _middle("neck", "spine3", "spine3", (0.0, 0.07, 0.0), deviation=0.015),
    _middle("head_end", "head", "head", _CROWN, 0.015, role="crown"),
    *_limbs(
        "left_hip", "left_knee", "left_ankle", "left_ankle_end", "",
        "left_shoulder", "left_elbow", "left_wrist", "left_wrist_end", "",
    ),
]  # fmt: skip

# How each naming writes the right twin of a left joint.
_SIDES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "cmu_asf": (("l", "r"),),
    "cmu_expmap": (("Left", "Right"), ("L", "R")),
    "acrnn_bvh": (("left", "right"), ("l", "r")),
    "cc_base": (("CC_Base_L_", "CC_Base_R_"),),
    "deepmimic": (("left_", "right_"),),
}
_LEFT: Final[dict[str, Sequence[Anchor]]] = {
    "cmu_asf": _CMU_ASF,
    "cmu_expmap": _CMU_EXPMAP,
    "acrnn_bvh": _ACRNN,
    "cc_base": _CC_BASE,
    "deepmimic": _DEEPMIMIC,
}

SKELETONS: Final = (*_LEFT, "smpl")

# What a skeleton must have, or nothing can be fitted: the points of these places.
_NEEDED: Final = frozenset(
    f"{side}_{part}"
    for side in ("left", "right")
    for part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
)


def joint_map(skeleton: str, joint_names: Sequence[str]) -> tuple[Anchor, ...]:
    """The anchors of a skeleton, both sides; those of joints that it lacks are left out.

    Args:
        skeleton: the naming, as in :class:`~fasthmr.training.mocap.source_motion.SourceMotion`.
        joint_names: the joints that the source has.

    Raises:
        BadInput: the naming is unknown, or hips, knees, ankles, shoulders, elbows or wrists are missing.
    """
    if skeleton not in _LEFT:
        raise BadInput(f"Skeleton '{skeleton}' is not known. Known are: {', '.join(_LEFT)}.")
    there = set(joint_names)
    anchors = _both_sides(skeleton)
    anchors = [anchor for anchor in anchors if there.issuperset(anchor.sources)]
    missing = _NEEDED - {anchor.place for anchor in anchors if anchor.shift == (0, 0, 0)}
    if missing:
        raise BadInput(
            f"A skeleton of the naming '{skeleton}' has no joints for {', '.join(sorted(missing))}. "
            f"It has: {', '.join(joint_names)}."
        )
    return tuple(anchors)


def skeleton_names(skeleton: str) -> tuple[str, ...]:
    """All joints of a naming that say something about the pose."""
    return tuple(name for anchor in _both_sides(skeleton) for name in anchor.sources)


def anchor_index(anchors: Sequence[Anchor], place: str, carrier: str | None = None) -> int | None:
    """Which anchor is at an SMPL joint's own place, or None."""
    for index, anchor in enumerate(anchors):
        if anchor.place == place and (carrier is None or anchor.carrier == carrier):
            return index
    return None


def stick_edges(anchors: Sequence[Anchor]) -> list[tuple[int, int]]:
    """Which anchors to join by a line: each to the one nearest above it on the way to the pelvis."""
    at = {
        anchor.place: index for index, anchor in reversed(list(enumerate(anchors))) if not any(anchor.shift)
    }
    edges = []
    for index, anchor in enumerate(anchors):
        joint = INDEX[anchor.carrier]
        while joint >= 0:
            upper = at.get(JOINT_NAMES[joint])
            if upper is not None and upper != index:
                edges.append((upper, index))
                break
            joint = PARENTS[joint]
    return edges


def _both_sides(skeleton: str) -> list[Anchor]:
    anchors = []
    for anchor in _LEFT[skeleton]:
        anchors.append(anchor)
        if _is_left(anchor):
            anchors.append(anchor.mirrored(tuple(_right(skeleton, name) for name in anchor.sources)))
    return anchors


def _is_left(anchor: Anchor) -> bool:
    return "left" in (anchor.carrier + anchor.place) or anchor.shift[0] != 0


def _right(skeleton: str, name: str) -> str:
    for left, right in _SIDES[skeleton]:
        if name.startswith(left):
            return right + name[len(left) :]
    raise ValueError(f"{name} of {skeleton} has no right twin")
