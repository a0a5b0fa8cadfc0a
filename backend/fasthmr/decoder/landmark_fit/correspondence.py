# SPDX-License-Identifier: Apache-2.0
"""Which point of the body each landmark is.

A landmark sits on a bone and moves rigidly with it: its place is the joint plus a fixed offset in the
rest pose. Limb landmarks start at the joints themselves, those of the face, the hands and the feet at
points of the skin. A detector's idea of "hip" or "nose" is not the body model's (research on lifters calls
this the joint definition gap): what it is on average was measured, and the offsets of limb landmarks are
corrected a person at a time besides, alike on both sides; :mod:`.objective` keeps the corrections small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.body.skeleton import INDEX
from fasthmr.people.landmarks import LANDMARK_INDEX, LANDMARK_MIRROR

# Landmark -> the joint that carries it, for the left side and the middle; and whether its offset
# starts at that joint (True) or at a point of the skin (False).
_CARRIED: Final[dict[str, tuple[str, bool]]] = {
    "nose": ("head", False),
    "left_eye": ("head", False),
    "left_ear": ("head", False),
    "left_shoulder": ("left_shoulder", True),
    "left_elbow": ("left_elbow", True),
    "left_wrist": ("left_wrist", True),
    "left_pinky": ("left_wrist", False),
    "left_index": ("left_wrist", False),
    "left_hip": ("left_hip", True),
    "left_knee": ("left_knee", True),
    "left_ankle": ("left_ankle", True),
    "left_heel": ("left_ankle", False),
    "left_foot_index": ("left_foot", False),
}

# How far from there BlazePose sees each, on average: millimetres to the left, up and to the front in the rest
# pose. Measured on rendered people by `fasthmr train evidence --offsets`
# (fasthmr.training.evidence.landmark_offsets); the detector's larger and smaller networks agree.
_AS_DETECTED: Final[dict[str, tuple[float, float, float]]] = {
    "nose": (0, 16, -22),
    "left_eye": (-5, 6, -23),
    "left_ear": (-24, 7, 10),
    "left_shoulder": (-17, 2, -2),
    "left_elbow": (-1, 3, 16),
    "left_wrist": (10, -1, 5),
    "left_pinky": (-14, -4, 26),
    "left_index": (-18, -10, -17),
    "left_hip": (6, -9, 21),
    "left_knee": (-2, -5, -3),
    "left_ankle": (2, 27, 9),
    "left_heel": (-2, 6, 17),
    "left_foot_index": (17, 10, -28),
}

# Where a body does not say which vertices its hands and feet have, these joints stand in.
_STAND_IN: Final = {"pinky": "hand", "index": "hand", "foot_index": "foot"}


@dataclass(frozen=True)
class LandmarkModel:
    """The landmarks that a fit uses, on one body.

    Attributes:
        indices: (K,) positions of the used landmarks among BlazePose's 33.
        joints: (K,) joint that carries each.
        offsets: (K, 3) metres, from the joint in the rest pose, mean shape.
        shape_offsets: (K, 3, 10) how the offsets grow with the betas.
        adjustable: (K,) float, 1 where the offset may be corrected a person at a time.
        mirror: (K,) position in this list of the same landmark on the other side.
    """

    indices: Tensor
    joints: Tensor
    offsets: Tensor
    shape_offsets: Tensor
    adjustable: Tensor
    mirror: Tensor

    def position(self, name: str) -> int:
        """Place of a landmark in this list."""
        return int((self.indices == LANDMARK_INDEX[name]).nonzero()[0, 0])

    def symmetric(self, correction: Tensor) -> Tensor:
        """Make corrections of the offsets alike on both sides.

        Args:
            correction: (K, 3) metres; the part that is not mirror-symmetric is dropped.
        """
        flip = correction.new_tensor([-1.0, 1.0, 1.0])
        both = 0.5 * (correction + correction[self.mirror] * flip)
        return both * self.adjustable[:, None]

    def place(
        self, joints: Tensor, rotations: Tensor, betas: Tensor, correction: Tensor | None = None
    ) -> Tensor:
        """Landmarks of a posed body.

        Args:
            joints: (T, 24, 3) posed joints, metres.
            rotations: (T, 24, 3, 3) their rotations in the same frame.
            betas: (10,) body shape.
            correction: (K, 3) metres in the rest pose, or None.

        Returns:
            (T, K, 3) metres, in the frame of the joints.
        """
        offsets = self.offsets + self.shape_offsets @ betas
        if correction is not None:
            offsets = offsets + self.symmetric(correction)
        turned = (rotations[:, self.joints] @ offsets[:, :, None])[..., 0]
        return joints[:, self.joints] + turned


def landmark_model(body: BodyModel, as_detected: bool = True) -> LandmarkModel:
    """Find the landmarks on a body.

    Args:
        body: any SMPL-layout body; one that does not say where its face and heels are is fitted
            without them.
        as_detected: put them where BlazePose sees them on average, instead of at joints and points of the
            skin.
    """
    vertices = body.landmark_vertices
    rows: list[tuple[int, int, Tensor, Tensor, float]] = []
    rest_joints = body.rest_joints(torch.zeros(10, dtype=body.v_template.dtype))
    joint_shape = torch.einsum("jv,vck->jck", body.J_regressor, body.shapedirs)
    for left, (left_joint, at_joint) in _CARRIED.items():
        for name in dict.fromkeys((left, left.replace("left", "right"))):
            side = "right" if name.startswith("right") else "left"
            joint = INDEX[left_joint.replace("left", side)]
            landmark = LANDMARK_INDEX[name]
            offset, grows = torch.zeros(3), torch.zeros(3, 10)
            if not at_joint:
                source = _surface(body, vertices, landmark, name, side)
                if source is None:
                    continue
                point, point_shape = source
                offset = point - rest_joints[joint]
                grows = point_shape - joint_shape[joint]
            if as_detected:
                offset = offset + _seen_from_there(left, name)
            rows.append((landmark, joint, offset, grows, float(at_joint)))
    indices = [row[0] for row in rows]
    mirror = [indices.index(LANDMARK_MIRROR[index]) for index in indices]
    return LandmarkModel(
        indices=torch.tensor(indices),
        joints=torch.tensor([row[1] for row in rows]),
        offsets=torch.stack([row[2] for row in rows]).float(),
        shape_offsets=torch.stack([row[3] for row in rows]).float(),
        adjustable=torch.tensor([row[4] for row in rows]),
        mirror=torch.tensor(mirror),
    )


def _seen_from_there(left: str, name: str) -> Tensor:
    """(3,) metres from a landmark's place on the body to where the detector sees it."""
    offset = torch.tensor(_AS_DETECTED[left]) / 1000
    return offset if name == left else offset * torch.tensor([-1.0, 1.0, 1.0])


def _surface(
    body: BodyModel, vertices: Tensor | None, landmark: int, name: str, side: str
) -> tuple[Tensor, Tensor] | None:
    """Rest position and shape directions of a skin landmark, or of the joint standing in for it."""
    if vertices is not None and vertices[landmark] >= 0:
        vertex = int(vertices[landmark])
        return body.v_template[vertex], body.shapedirs[vertex]
    stand_in = _STAND_IN.get(name.removeprefix(f"{side}_"))
    if stand_in is None:
        return None
    weights = body.J_regressor[INDEX[f"{side}_{stand_in}"]]
    return weights @ body.v_template, torch.einsum("v,vck->ck", weights, body.shapedirs)
