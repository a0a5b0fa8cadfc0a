# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of a character through the world: where its hips go, and what carries it across the floor.

The world has z up, metres. A carrier is the rig's root bone or the armature object: it stays on the floor
under the hips and turns with them, about the vertical only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..leg_pose import turned
from ..root_path import in_place
from ..rotations import quat_multiply
from ..skeleton import INDEX
from ..smoothing import smooth_values
from .mapping import BoneMap
from .options import Options
from .source_motion import SourceMotion
from .target_rig import TargetRig

_CALM = 0.5
"""Strength, in seconds, of the smoothing of a carrier's way: it does not sway with every step."""

_HIPS = [INDEX["left_hip"], INDEX["right_hip"]]


@dataclass(frozen=True)
class Way:
    """Where a rig goes.

    Attributes:
        hips: (T, 3) the middle of its hip joints.
        scale: by how much longer its way is than the source's.
        carrier: (T, 3) where a carrier is that stands under the hips at rest: on the floor.
        headings: (T, 4) turns of the carrier.
        taken: (T, 3) the way that was taken out to keep the rig in place. Feet are planted with it: in place
            they would slide like on a treadmill.
    """

    hips: np.ndarray
    scale: float
    carrier: np.ndarray
    headings: np.ndarray
    taken: np.ndarray


def find_way(source: SourceMotion, leg_length: float, options: Options, fps: float) -> Way:
    """Scale the source's way for a rig with legs of another length.

    It is scaled about the place where the source begins, so that two characters who begin together still do.

    Args:
        source: the motion.
        leg_length: of the target, from the hip to the sole of a straight leg.
        options: `scale`, `factor`, `heights`, `in_place`, `floor`.
        fps: frames per second.
    """
    ratio = leg_length / source.leg_length
    scale = {"LEGS": ratio, "NONE": 1.0, "FACTOR": options.factor}[options.scale]
    way = source.joints[:, _HIPS].mean(axis=1)
    start = way[0]
    hips = start + scale * (way - start)
    # heights are always the legs' matter: whoever stands, stands on the floor
    above = way[:, 2] - options.floor
    if options.heights == "KEPT":
        hips[:, 2] = options.floor + leg_length + above - source.leg_length
    else:
        hips[:, 2] = options.floor + ratio * above
    going = hips
    hips = in_place(going, options.in_place)

    heading = headings_of(source.turns[:, 0])
    carrier = hips.copy()
    if len(hips) > 1:
        carrier = smooth_values(hips, _CALM, fps)
        heading = smooth_values(heading[:, None], _CALM, fps)[:, 0]
    carrier[:, 2] = options.floor
    zero = np.zeros(len(heading))
    quats = np.stack([np.cos(heading / 2), zero, zero, np.sin(heading / 2)], axis=1)
    return Way(hips, scale, carrier, quats, going - hips)


def headings_of(turns: np.ndarray) -> np.ndarray:
    """How far turns (T, 4) have turned about the vertical (T,), radians, without jumps.

    It is the twist about z, which is there for any pose but upside down.
    """
    return np.unwrap(2 * np.arctan2(turns[:, 3], turns[:, 0]))


def leg_length(rig: TargetRig, bone_map: BoneMap, sole: float) -> float:
    """From the hip to the sole of a rig's straight leg; mean of both.

    Args:
        rig: the rig.
        bone_map: its bones.
        sole: height from the sole to the ankle, mean of both feet.
    """
    joints = rig.joints(bone_map)
    lengths = [
        np.linalg.norm(joints[f"{side}_hip"] - joints[f"{side}_knee"])
        + np.linalg.norm(joints[f"{side}_knee"] - joints[f"{side}_ankle"])
        for side in ("left", "right")
    ]
    return float(np.mean(lengths) + sole)


def carried(way: Way, rest_offset: np.ndarray, rest_turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (T, 3) and rotations (T, 4) of a carrier.

    Args:
        way: the way.
        rest_offset: (3,) from the point on the floor under the hips to the carrier at rest, the rig facing
            as the source does.
        rest_turn: (4,) its rotation then.
    """
    return way.carrier + turned(way.headings, rest_offset), quat_multiply(way.headings, rest_turn)


def where_target_stands(source: SourceMotion, towards: np.ndarray, hips: np.ndarray) -> SourceMotion:
    """The source's motion, moved such that it begins where the target stands, and the way that it faces.

    Args:
        source: the motion.
        towards: (3, 3) rotation that turns the target's figure the way the source's stands.
        hips: (3,) the middle of the target's hip joints at rest.
    """
    start = source.joints[0, _HIPS].mean(axis=0)
    turn = headings_of(source.turns[:1, 0])[0] + np.arctan2(
        towards[1, 0] - towards[0, 1], towards[0, 0] + towards[1, 1]
    )
    cosine, sine = np.cos(-turn), np.sin(-turn)
    about_z = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    return source.moved(about_z, start, np.array([hips[0], hips[1], start[2]]))
