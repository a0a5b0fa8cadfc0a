# SPDX-License-Identifier: GPL-3.0-or-later
"""How the bones look: wire shapes around the limbs, a colour for each side, collections to hide and show.

Nothing here moves anything. The shapes are made once for a file and shared by all armatures; they live in a
hidden collection of their own outside of the scenes, so that they are neither rendered nor exported.
"""

from __future__ import annotations

import math
from typing import Final

import bpy
import numpy as np

from .rest_figure import RestFigure
from .skeleton import INDEX, JOINT_NAMES

SHAPE_KEY: Final = "recover_motion_shape"
"""Custom property of the shapes and their collection, so that they are found again under any name."""

_COLLECTION_NAME = "Recover Motion Bone Shapes"

PALETTES: Final = {"left": "THEME04", "right": "THEME01", "middle": "THEME09"}
"""Colour sets of the user's theme; blue, red and yellow in Blender's own."""

_ARM = ("collar", "shoulder", "elbow", "wrist", "hand")
_RING, _BOX, _BALL = "ring", "box", "ball"
_SHAPE_OF: Final = {
    "pelvis": _BOX,
    "head": _BALL,
    **{f"{side}_{part}": _BOX for side in ("left", "right") for part in ("foot", "hand")},
}

_ROOM = 1.12
"""Shapes stand this much off the skin, to be seen and picked."""

_NARROWEST = 0.05
"""Half the least width of a shape, in lengths of the bone."""

_ENOUGH = 8
"""Vertices that tell how thick a limb is."""

_NO_SKIN = 0.25
"""Half the width of the shape of a bone without skin of its own, in lengths of the bone."""


def side_of(bone: str) -> str:
    """left, right or middle."""
    side = bone.split("_")[0]
    return side if side in ("left", "right") else "middle"


def collection_of(bone: str) -> str:
    """Name of the bone collection that a bone belongs to."""
    side = side_of(bone)
    if side == "middle":
        return "Spine"
    return f"{side.title()} {'Arm' if bone.endswith(_ARM) else 'Leg'}"


def dress_bones(armature: bpy.types.Object, figure: RestFigure) -> None:
    """Give an armature's bones their collections, colours and shapes.

    Args:
        armature: the rig of the figure.
        figure: its skin says how large the shapes must be.
    """
    collections = {}
    for name in ("Spine", "Left Arm", "Right Arm", "Left Leg", "Right Leg"):
        collections[name] = armature.data.collections.new(name)
    for name in JOINT_NAMES:
        bone = armature.data.bones[name]
        collections[collection_of(name)].assign(bone)
        bone.color.palette = PALETTES[side_of(name)]

    shapes = _shapes()
    skinned_by = figure.body.weights.argmax(axis=1)
    for pose_bone in armature.pose.bones:
        kind = _SHAPE_OF.get(pose_bone.name, _RING)
        skin = figure.vertices[skinned_by == INDEX[pose_bone.name]]
        centre, half = _extent(pose_bone.bone, skin, kind)
        pose_bone.custom_shape = shapes[kind]
        pose_bone.custom_shape_translation = centre
        pose_bone.custom_shape_scale_xyz = half / pose_bone.bone.length  # Blender scales with the length


def _extent(bone: bpy.types.Bone, skin: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Centre (3,) and half the size (3,) of a bone's shape, in metres along the bone's axes from its head.

    Args:
        bone: its y axis runs from head to tail.
        skin: (N, 3) rest vertices that follow this bone more than any other, in the armature.
        kind: a ring lies across the middle of the bone; the others hold all of the skin.
    """
    length = bone.length
    points = (skin - np.array(bone.head_local)) @ np.array(bone.matrix_local.to_3x3())
    if kind == _RING:
        near = points[np.abs(points[:, 1] / length - 0.5) < 0.25]
        points = near if len(near) >= _ENOUGH else points
    if not len(points):
        return np.array([0, length / 2, 0]), np.full(3, _NO_SKIN * length)
    low, high = points.min(axis=0), points.max(axis=0)
    centre, half = (low + high) / 2, _ROOM * (high - low) / 2
    half = np.maximum(half, _NARROWEST * length)
    if kind == _RING:
        centre[1], half[1] = length / 2, half[[0, 2]].mean()
    return centre, half


def _shapes() -> dict[str, bpy.types.Object]:
    """The shared shapes; those that are not there yet are made."""
    found = {
        thing[SHAPE_KEY]: thing for thing in bpy.data.objects if SHAPE_KEY in thing and not thing.library
    }
    missing = [kind for kind in (_RING, _BOX, _BALL) if kind not in found]
    if missing:
        collection = _shape_collection()
        for kind in missing:
            points, edges = _wire(kind)
            mesh = bpy.data.meshes.new(f"{_COLLECTION_NAME}.{kind}")
            mesh.from_pydata(points, edges, [])
            found[kind] = bpy.data.objects.new(mesh.name, mesh)
            found[kind][SHAPE_KEY] = kind
            collection.objects.link(found[kind])
    return found


def _shape_collection() -> bpy.types.Collection:
    for collection in bpy.data.collections:
        if SHAPE_KEY in collection and not collection.library:
            return collection
    collection = bpy.data.collections.new(_COLLECTION_NAME)
    collection[SHAPE_KEY] = "collection"
    collection.use_fake_user = True  # in no scene: glTF would export the shapes as empty nodes
    collection.hide_viewport = collection.hide_render = True  # should a user link it to one
    return collection


def _wire(kind: str) -> tuple[list[tuple[float, float, float]], list[tuple[int, int]]]:
    """Points and edges of a shape; it reaches from -1 to 1 along its axes."""
    if kind == _BOX:
        points = [(x, y, z) for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)]
        pairs = [(a, b) for a in range(8) for b in range(a + 1, 8)]
        return points, [(a, b) for a, b in pairs if sum(map(abs, np.subtract(points[a], points[b]))) == 2]
    count = 32
    turns = [2 * math.pi * step / count for step in range(count)]
    across = [(math.cos(turn), 0.0, math.sin(turn)) for turn in turns]
    circles = [across]
    if kind == _BALL:
        circles += [[(0.0, x, z) for x, _, z in across], [(x, z, 0.0) for x, _, z in across]]
    edges = [
        (first + step, first + (step + 1) % count)
        for first in range(0, count * len(circles), count)
        for step in range(count)
    ]
    return [point for circle in circles for point in circle], edges
