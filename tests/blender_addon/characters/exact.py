# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs that differ from the recovered one only in known ways: what must come out right to 0.1 degrees."""

from __future__ import annotations

from dataclasses import replace

import bpy
import numpy as np
from mathutils import Matrix, Quaternion, Vector

from .cartoon import pointing
from .rig_from_arrays import Character, RigArrays, build, placed


def same_directions(source: bpy.types.Object, seed: int, scene: bpy.types.Scene) -> Character:
    """The recovered skeleton with other rolls, names, sizes and another object transform.

    In the world it stands at rest as the source does: every bone points where the source's does. Its size is
    another; the object is turned any way at all, scaled by 0.01 to 2 and elsewhere, which the bones make up
    for.

    Args:
        source: a recovered armature with its skin, its object transform the identity.
        seed: of the random numbers.
        scene: the character is linked to its collection.
    """
    random = np.random.default_rng(seed)
    size = random.uniform(0.5, 1.6)
    rig = recovered(source)
    names = {
        bone: f"b{number:02d}_{seed}" for number, bone in enumerate(random.permutation(rig.bones).tolist())
    }
    changed = replace(
        rig.renamed(names),
        heads=size * rig.heads,
        tails=size * rig.tails,
        vertices=size * rig.vertices,
        rolls=random.uniform(-np.pi, np.pi, len(rig.bones)),
    )
    made = build(scene, f"same_directions_{seed}", changed)
    turn = Quaternion(random.normal(size=4).tolist()).normalized()
    scale = float(np.exp(random.uniform(np.log(0.01), np.log(2.0))))
    placed(made, Matrix.LocRotScale(Vector(random.uniform(-3, 3, 3)), turn, Vector((scale,) * 3)))
    return replace(made, bones=names)


def a_pose(
    source: bpy.types.Object, degrees: float, scene: bpy.types.Scene, elbow: float = 15.0
) -> Character:
    """The recovered skeleton with arms that hang down at rest, and elbows that are bent a bit.

    Args:
        source: a recovered armature with its skin, its object transform the identity.
        degrees: the upper arms are lowered from the T-pose by this.
        scene: the character is linked to its collection.
        elbow: the elbows are bent forward by this, degrees.
    """
    rig = recovered(source)
    down, bent = np.radians(degrees), np.radians(elbow)
    limbs = []
    for side, out in (("left", 1.0), ("right", -1.0)):
        upper = np.array([out * np.cos(down), 0.0, -np.sin(down)])
        lower = np.cos(bent) * upper + np.sin(bent) * np.array([0.0, -1.0, 0.0])
        limbs.append(
            {f"{side}_shoulder": upper, f"{side}_elbow": lower, f"{side}_wrist": lower, f"{side}_hand": lower}
        )
    made = build(scene, f"a_pose_{degrees:g}", pointing(rig, limbs))
    return replace(made, bones={bone: bone for bone in rig.bones})


def recovered(source: bpy.types.Object) -> RigArrays:
    """The rest pose of a recovered armature and its skin, in armature space."""
    bones = list(source.data.bones)
    names = tuple(bone.name for bone in bones)
    mesh = next(child for child in source.children if child.type == "MESH")
    groups = [names.index(group.name) for group in mesh.vertex_groups]
    weights = np.zeros((len(mesh.data.vertices), len(names)))
    for vertex in mesh.data.vertices:
        for element in vertex.groups:
            weights[vertex.index, groups[element.group]] = element.weight
    basis, *shapes = mesh.data.shape_keys.key_blocks
    places = _places(basis) + sum(key.value * (_places(key) - _places(basis)) for key in shapes)
    mesh.data.calc_loop_triangles()
    return RigArrays(
        names,
        np.array([names.index(bone.parent.name) if bone.parent else -1 for bone in bones]),
        np.array([bone.head_local for bone in bones]),
        np.array([bone.tail_local for bone in bones]),
        np.array([bone.AxisRollFromMatrix(bone.matrix_local.to_3x3())[1] for bone in bones]),
        places,
        np.array([triangle.vertices for triangle in mesh.data.loop_triangles]),
        weights / weights.sum(axis=1, keepdims=True),
    )


def _places(key: bpy.types.ShapeKey) -> np.ndarray:
    """(V, 3)"""
    places = np.empty(3 * len(key.data), np.float32)
    key.data.foreach_get("co", places)
    return places.reshape(-1, 3).astype(float)
