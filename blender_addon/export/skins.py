# SPDX-License-Identifier: GPL-3.0-or-later
"""The skins of a character, as they are bound at rest: which there are, and their stand-ins."""

from __future__ import annotations

from collections.abc import Mapping

import bpy
import numpy as np
from mathutils import Matrix

from ..compat import Placed
from ..mesh import rig_of
from .sampling import Sampled


def skins_of(scene: bpy.types.Scene, armature: bpy.types.Object) -> list[bpy.types.Object]:
    """The meshes that an armature deforms or carries on a bone, without those that are not rendered."""
    return [
        thing
        for thing in scene.objects
        if thing.type == "MESH"
        and not thing.hide_render
        and len(thing.data.vertices)
        and (rig_of(thing) == armature or (thing.parent == armature and thing.parent_type != "OBJECT"))
    ]


def bone_that_carries(mesh: bpy.types.Object) -> str:
    """The bone that a mesh is parented to, when no armature deforms it; empty otherwise."""
    return mesh.parent_bone if mesh.parent_type == "BONE" and rig_of(mesh) is None else ""


def add_skin(
    scene: bpy.types.Scene,
    stand_in: bpy.types.Object,
    armature: bpy.types.Object,
    mesh: bpy.types.Object,
    sampled: Sampled,
    rest: Matrix,
    parents: Mapping[str, str],
    made: list[bpy.types.ID],
) -> bpy.types.Object:
    """The stand-in of a skin, bound to the stand-in of its armature.

    Modifiers are applied, and so are shape keys, unless they are animated: then both stay what they are.

    Args:
        scene: the stand-in's scene.
        stand_in: its armature at rest.
        armature: the user's.
        mesh: the user's skin.
        sampled: where both are in the world.
        rest: from the armature's space to the stand-in's.
        parents: the stand-in's bones.
        made: gets what is made.
    """
    skin = mesh.copy()
    made.append(skin)
    skin.data = mesh.data.copy()
    made.append(skin.data)
    scene.collection.objects.link(skin)
    skin.animation_data_clear()
    skin.constraints.clear()
    skin.parent = None
    skin.hide_viewport = False
    for modifier in [one for one in skin.modifiers if one.type == "ARMATURE"]:
        skin.modifiers.remove(modifier)
    if not _is_reshaped(mesh):
        _apply_all(scene, skin, made)

    carrier = bone_that_carries(mesh)
    in_armature = np.linalg.inv(sampled.armature[0]) @ sampled.meshes[mesh.name]
    if carrier:
        posed = np.linalg.inv(sampled.armature[0]) @ sampled.bones[0, sampled.names.index(carrier)]
        in_armature = np.array(armature.data.bones[carrier].matrix_local) @ np.linalg.inv(posed) @ in_armature
    matrix = rest @ Matrix(in_armature.tolist())
    skin.data.transform(matrix, shape_keys=True)
    if matrix.determinant() < 0:
        skin.data.flip_normals()
    skin.matrix_world = Matrix()
    _fit_groups(skin, armature, carrier, parents)
    skin.parent = stand_in
    skin.matrix_parent_inverse = Matrix()
    skin.modifiers.new("Armature", "ARMATURE").object = stand_in
    return skin


def _apply_all(scene: bpy.types.Scene, skin: bpy.types.Object, made: list[bpy.types.ID]) -> None:
    """Make a skin the mesh that its modifiers and shape keys show."""
    scene.view_layers[0].update()
    graph = scene.view_layers[0].depsgraph
    shown = bpy.data.meshes.new_from_object(
        skin.evaluated_get(graph), preserve_all_data_layers=True, depsgraph=graph
    )
    made.append(shown)
    skin.modifiers.clear()
    skin.data = shown


def _is_reshaped(mesh: bpy.types.Object) -> bool:
    """Whether shape keys of a mesh are animated or driven."""
    keys = mesh.data.shape_keys
    animation = keys.animation_data if keys is not None else None
    if animation is None:
        return False
    placed = Placed.on(animation)
    return bool((placed and placed.curves()) or len(animation.drivers) or len(animation.nla_tracks))


def _fit_groups(
    skin: bpy.types.Object, armature: bpy.types.Object, carrier: str, parents: Mapping[str, str]
) -> None:
    """Leave only the groups of deforming bones, or give all vertices to the bone that carries them."""
    if carrier:
        skin.vertex_groups.clear()
        skin.vertex_groups.new(name=carrier).add(range(len(skin.data.vertices)), 1.0, "REPLACE")
        return
    bones = armature.data.bones
    for group in list(skin.vertex_groups):
        if group.name not in parents or not bones[group.name].use_deform:
            skin.vertex_groups.remove(group)
