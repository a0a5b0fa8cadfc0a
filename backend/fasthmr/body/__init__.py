# SPDX-License-Identifier: Apache-2.0
"""SMPL-layout bodies: the open body that comes along, and users' own SMPL files."""

from fasthmr.body.landmark_vertices import LANDMARK_JOINTS
from fasthmr.body.model import BodyModel, load_body, save_body
from fasthmr.body.skeleton import INDEX, JOINT_COUNT, JOINT_NAMES, MIRROR, PARENTS

__all__ = [
    "INDEX",
    "JOINT_COUNT",
    "JOINT_NAMES",
    "LANDMARK_JOINTS",
    "MIRROR",
    "PARENTS",
    "BodyModel",
    "load_body",
    "save_body",
]
