# SPDX-License-Identifier: Apache-2.0
"""A first pose straight from the world landmarks, frame by frame, in closed form.

The torso's frame comes from hips and shoulders, the limbs' from their directions, and the twist of a
thigh or an upper arm from the plane in which knee or elbow bends. Where a limb is straight that
plane means nothing; then the twist is the one that turns the limb least from its parent.
"""

from __future__ import annotations

from collections.abc import Callable

import roma
import torch
from torch import Tensor
from torch.nn.functional import normalize

from fasthmr.body import BodyModel
from fasthmr.body.skeleton import INDEX, JOINT_COUNT, JOINT_NAMES, PARENTS
from fasthmr.people.landmarks import LANDMARK_INDEX

# Sine of the bend from which the plane of a limb is believed fully.
_CLEAR_BEND = 0.5


def initial_pose(world_landmarks: Tensor, body: BodyModel) -> Tensor:
    """Joint rotations that point the body's bones along the landmarks.

    Args:
        world_landmarks: (T, 33, 3) metres, in camera axes.
        body: the body whose rest pose is turned.

    Returns:
        (T, 24, 3, 3) rotations: the root's in the frame of the landmarks, the others' in their parent's.
    """
    count = len(world_landmarks)
    rest = body.rest_joints(torch.zeros(10, dtype=body.v_template.dtype)).float()
    turned: dict[str, Tensor] = {}

    def at(name: str) -> Tensor:
        return world_landmarks[:, LANDMARK_INDEX[name]]

    hips = 0.5 * (at("left_hip") + at("right_hip"))
    shoulders = 0.5 * (at("left_shoulder") + at("right_shoulder"))
    up = shoulders - hips
    turned["pelvis"] = _torso_frame(at("left_hip") - at("right_hip"), up)
    chest = _torso_frame(at("left_shoulder") - at("right_shoulder"), up)
    bend = roma.rotmat_to_rotvec(turned["pelvis"].mT @ chest) / 3
    third = roma.rotvec_to_rotmat(bend)
    turned["spine1"] = turned["pelvis"] @ third
    turned["spine2"] = turned["spine1"] @ third
    turned["spine3"] = chest
    ears = at("left_ear") - at("right_ear")
    face = at("nose") - 0.5 * (at("left_ear") + at("right_ear"))
    skull = _skull_frame(ears, face)
    turned["neck"] = chest @ roma.rotvec_to_rotmat(roma.rotmat_to_rotvec(chest.mT @ skull) / 2)
    turned["head"] = skull
    for side in ("left", "right"):
        _leg(turned, side, at, rest)
        _arm(turned, side, at, rest)
    return _to_parent_frames(turned, count)


def _leg(turned: dict[str, Tensor], side: str, at: Callable[[str], Tensor], rest: Tensor) -> None:
    """Thigh, shin and foot; the knee bends about the thigh's x axis, backwards."""
    pelvis = turned["pelvis"]
    thigh = normalize(at(f"{side}_knee") - at(f"{side}_hip"), dim=-1)
    shin = normalize(at(f"{side}_ankle") - at(f"{side}_knee"), dim=-1)
    rest_thigh = _direction(rest, f"{side}_hip", f"{side}_knee")
    least = _least_turn(pelvis, rest_thigh, thigh)
    axis = torch.linalg.cross(thigh, shin)
    twisted = _with_axis(least, (pelvis.new_tensor([1.0, 0, 0])), thigh, axis)
    turned[f"{side}_hip"] = twisted
    turned[f"{side}_knee"] = _least_turn(twisted, _direction(rest, f"{side}_knee", f"{side}_ankle"), shin)
    toes = normalize(at(f"{side}_foot_index") - at(f"{side}_heel"), dim=-1)
    rest_toes = normalize(rest[INDEX[f"{side}_foot"]] - rest[INDEX[f"{side}_ankle"]], dim=-1)
    level = normalize(rest_toes * rest_toes.new_tensor([1.0, 0, 1.0]), dim=-1)
    turned[f"{side}_ankle"] = _least_turn(turned[f"{side}_knee"], level, toes)
    turned[f"{side}_foot"] = turned[f"{side}_ankle"]


def _arm(turned: dict[str, Tensor], side: str, at: Callable[[str], Tensor], rest: Tensor) -> None:
    """Upper arm and forearm; the elbow bends about the upper arm's y axis, forwards."""
    chest = turned["spine3"]
    turned[f"{side}_collar"] = chest
    upper = normalize(at(f"{side}_elbow") - at(f"{side}_shoulder"), dim=-1)
    fore = normalize(at(f"{side}_wrist") - at(f"{side}_elbow"), dim=-1)
    least = _least_turn(chest, _direction(rest, f"{side}_shoulder", f"{side}_elbow"), upper)
    axis = torch.linalg.cross(fore, upper) if side == "left" else torch.linalg.cross(upper, fore)
    twisted = _with_axis(least, chest.new_tensor([0, 1.0, 0]), upper, axis)
    turned[f"{side}_shoulder"] = twisted
    turned[f"{side}_elbow"] = _least_turn(twisted, _direction(rest, f"{side}_elbow", f"{side}_wrist"), fore)
    turned[f"{side}_wrist"] = turned[f"{side}_elbow"]
    turned[f"{side}_hand"] = turned[f"{side}_elbow"]


def _direction(rest: Tensor, start: str, end: str) -> Tensor:
    return normalize(rest[INDEX[end]] - rest[INDEX[start]], dim=-1)


def _torso_frame(left: Tensor, up: Tensor) -> Tensor:
    """Frames (T, 3, 3) whose y is ``up`` and whose x is as near to ``left`` as it can be."""
    y = normalize(up, dim=-1)
    z = normalize(torch.linalg.cross(left, y), dim=-1)
    return torch.stack([torch.linalg.cross(y, z), y, z], dim=-1)


def _skull_frame(left: Tensor, forward: Tensor) -> Tensor:
    """Frames (T, 3, 3) whose x is ``left`` and whose z is as near to ``forward`` as it can be."""
    x = normalize(left, dim=-1)
    y = normalize(torch.linalg.cross(forward, x), dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def _least_turn(parent: Tensor, rest_direction: Tensor, direction: Tensor) -> Tensor:
    """The parent's rotation, turned on by the least angle that brings a rest direction onto another."""
    start = (parent @ rest_direction[:, None])[..., 0]
    axis = torch.linalg.cross(start, direction)
    sine = axis.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, (start * direction).sum(-1, keepdim=True))
    return roma.rotvec_to_rotmat(axis / sine.clamp_min(1e-8) * angle) @ parent


def _with_axis(rotation: Tensor, hinge: Tensor, bone: Tensor, axis: Tensor) -> Tensor:
    """Turn a limb about its own bone until its hinge lies along the axis its bend shows.

    Args:
        rotation: (T, 3, 3) limb without regard to twist.
        hinge: (3,) hinge axis in the rest pose, across the bone.
        bone: (T, 3) unit direction of the bone.
        axis: (T, 3) cross product of the two segments: its length is the sine of the bend.
    """
    bend = axis.norm(dim=-1, keepdim=True)
    now = (rotation @ hinge[:, None])[..., 0]
    now = normalize(now - (now * bone).sum(-1, keepdim=True) * bone, dim=-1)
    target = axis / bend.clamp_min(1e-8)
    angle = torch.atan2((torch.linalg.cross(now, target) * bone).sum(-1), (now * target).sum(-1))
    belief = (bend[..., 0] / _CLEAR_BEND).clamp(0, 1)
    return roma.rotvec_to_rotmat(bone * (angle * belief)[:, None]) @ rotation


def _to_parent_frames(turned: dict[str, Tensor], count: int) -> Tensor:
    """Rotations in the frame of the landmarks -> in each joint's parent."""
    local = torch.empty(count, JOINT_COUNT, 3, 3)
    for index, (name, parent) in enumerate(zip(JOINT_NAMES, PARENTS, strict=True)):
        local[:, index] = turned[name] if parent < 0 else turned[JOINT_NAMES[parent]].mT @ turned[name]
    return local
