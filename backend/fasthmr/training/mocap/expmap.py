# SPDX-License-Identifier: Apache-2.0
"""CMU motion as text of 117 columns: the root's place and 38 exponential maps, one row a frame.

The form is that of the prediction literature (Li et al., "Convolutional Sequence to Sequence Model for Human
Dynamics", CVPR 2018), which carries no skeleton: everybody has the same, given here. Its rotations are told
for row vectors, so an exponential map turns the other way round than usual.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.spatial.transform import Rotation

from fasthmr.errors import BadInput
from fasthmr.training.mocap.asf_amc import UNIT
from fasthmr.training.mocap.source_motion import SourceMotion
from fasthmr.training.mocap.world_axes import z_up_from_y_up

#: The joints: name, parent's name, offset from it at rest in units of :data:`UNIT`.
_SKELETON: Final[tuple[tuple[str, str, tuple[float, float, float]], ...]] = (
    ("Hips", "", (0, 0, 0)),
    ("LHipJoint", "Hips", (0, 0, 0)),
    ("LeftUpLeg", "LHipJoint", (1.65674, -1.80282, 0.62477)),
    ("LeftLeg", "LeftUpLeg", (2.5972, -7.13576, 0)),
    ("LeftFoot", "LeftLeg", (2.49236, -6.8477, 0)),
    ("LeftToeBase", "LeftFoot", (0.19704, -0.54136, 2.14581)),
    ("LeftToeBase_end", "LeftToeBase", (0, 0, 1.11249)),
    ("RHipJoint", "Hips", (0, 0, 0)),
    ("RightUpLeg", "RHipJoint", (-1.6107, -1.80282, 0.62476)),
    ("RightLeg", "RightUpLeg", (-2.59502, -7.12977, 0)),
    ("RightFoot", "RightLeg", (-2.4678, -6.78024, 0)),
    ("RightToeBase", "RightFoot", (-0.23024, -0.63258, 2.13368)),
    ("RightToeBase_end", "RightToeBase", (0, 0, 1.11569)),
    ("LowerBack", "Hips", (0, 0, 0)),
    ("Spine", "LowerBack", (0.01961, 2.0545, -0.14112)),
    ("Spine1", "Spine", (0.01021, 2.06436, -0.05921)),
    ("Neck", "Spine1", (0, 0, 0)),
    ("Neck1", "Neck", (0.00713, 1.56711, 0.14968)),
    ("Head", "Neck1", (0.03429, 1.56041, -0.10006)),
    ("Head_end", "Head", (0.01305, 1.6256, -0.05265)),
    ("LeftShoulder", "Spine1", (0, 0, 0)),
    ("LeftArm", "LeftShoulder", (3.54205, 0.90436, -0.17364)),
    ("LeftForeArm", "LeftArm", (4.86513, 0, 0)),
    ("LeftHand", "LeftForeArm", (3.35554, 0, 0)),
    ("LeftFingerBase", "LeftHand", (0, 0, 0)),
    ("LeftHandIndex1", "LeftFingerBase", (0.66117, 0, 0)),
    ("LeftHandIndex1_end", "LeftHandIndex1", (0.53306, 0, 0)),
    ("LThumb", "LeftHand", (0, 0, 0)),
    ("LThumb_end", "LThumb", (0.5412, 0, 0.5412)),
    ("RightShoulder", "Spine1", (0, 0, 0)),
    ("RightArm", "RightShoulder", (-3.49802, 0.75994, -0.32616)),
    ("RightForeArm", "RightArm", (-5.02649, 0, 0)),
    ("RightHand", "RightForeArm", (-3.36431, 0, 0)),
    ("RightFingerBase", "RightHand", (0, 0, 0)),
    ("RightHandIndex1", "RightFingerBase", (-0.73041, 0, 0)),
    ("RightHandIndex1_end", "RightHandIndex1", (-0.58887, 0, 0)),
    ("RThumb", "RightHand", (0, 0, 0)),
    ("RThumb_end", "RThumb", (-0.59786, 0, 0.59786)),
)
_COLUMNS: Final = 3 + 3 * len(_SKELETON)
FRAME_RATE: Final = 120.0
# The first row is the rest pose.
_SKIP: Final = 1


def read_expmap(
    text: str,
    name: str,
    frame_rate: float = FRAME_RATE,
    subject: int | None = None,
    trial: int | None = None,
    label: str = "",
) -> SourceMotion:
    """Read a motion.

    Args:
        text: rows of 117 numbers with commas between them.
        name: of the clip.
        frame_rate: frames per second.
        subject: number of the person.
        trial: number of the trial.
        label: what is done.

    Raises:
        BadInput: a row has another number of columns or something that is no number; with the line.
    """
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = [float(word) for word in line.split(",")]
        except ValueError as error:
            raise BadInput(f"{name}, line {number}: {error}.") from error
        if len(row) != _COLUMNS:
            raise BadInput(f"{name}, line {number}: {len(row)} columns instead of {_COLUMNS}.")
        rows.append(row)
    values = np.array(rows[_SKIP:])
    if not len(values) or not np.isfinite(values).all():
        raise BadInput(f"{name} holds no motion, or numbers that are not finite.")
    names = [joint for joint, _, _ in _SKELETON]
    parents = [names.index(parent) if parent else -1 for _, parent, _ in _SKELETON]
    placed, turned = [values[:, :3]], [Rotation.from_rotvec(-values[:, 3:6])]
    for index, (_, _, offset) in enumerate(_SKELETON[1:], 1):
        above = parents[index]
        placed.append(placed[above] + turned[above].apply(offset))
        turned.append(turned[above] * Rotation.from_rotvec(-values[:, 3 + 3 * index : 6 + 3 * index]))
    positions = UNIT * np.stack(placed, axis=1)
    return SourceMotion(
        name=name,
        skeleton="cmu_expmap",
        frame_rate=frame_rate,
        joint_names=tuple(names),
        parents=np.array(parents),
        positions=z_up_from_y_up(positions).astype(np.float32),
        subject=subject,
        trial=trial,
        label=label,
        end_points=frozenset(joint for joint in names if joint.endswith("_end")),
    )
