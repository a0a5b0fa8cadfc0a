# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in: an armature with its skins in a scene of its own, keyed at every frame, to be exported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Matrix

from ..compat import Channels
from ..curves import write_curves
from ..edit_mode import edit_mode, in_window
from ..retarget.mapping import RigBone
from .baked_pose import BoneKeys, Placement, even_scale, keys_of_bones, rest_matrix
from .kept_bones import in_order, kept_bones
from .names import called
from .sampling import Sampled, scene_of
from .skins import add_skin, bone_that_carries

_SLOT = "Exported"

_STILL = 1e-6
"""Scales that are nearer to 1 are not keyed."""

_SOCKET = 1e-4
"""Units of the scene by which a bone may move without moving out of its socket."""


@dataclass(frozen=True)
class StandIn:
    """What is exported in a character's place.

    Attributes:
        scene: its scene; frame rate and range are those of the export.
        armature: at the origin.
        meshes: the skins.
        bones: names of its bones.
        moves: whether any bone but a root moves out of its socket.
        is_scaled: whether any bone is scaled.
    """

    scene: bpy.types.Scene
    armature: bpy.types.Object
    meshes: tuple[bpy.types.Object, ...]
    bones: tuple[str, ...]
    moves: bool
    is_scaled: bool


@contextmanager
def stand_in(
    context: bpy.types.Context,
    armature: bpy.types.Object,
    meshes: Sequence[bpy.types.Object],
    sampled: Sampled,
    placement: Placement,
    *,
    deform_only: bool,
    scaled: bool,
    half: bool = False,
    name: str,
) -> Iterator[StandIn]:
    """Make the stand-in of a character; it is gone after the block, with all that belongs to it.

    Args:
        context: a window is not needed.
        armature: the character.
        meshes: its skins that are to be exported.
        sampled: where its bones are.
        placement: units and axes of the stand-in.
        deform_only: leave out bones that deform nothing.
        scaled: key the scale of bones too.
        half: have those scales in half precision.
        name: of the armature object in the file.
    """
    made: list[bpy.types.ID] = []
    with scene_of([], context.scene, sampled.range, sampled.action) as scene:
        try:
            rest = rest_matrix(sampled.armature[0], placement)
            carriers = frozenset(filter(None, map(bone_that_carries, meshes)))
            parents = _parents(armature, deform_only=deform_only, weighted=carriers)
            thing = _bones(context, scene, armature, rest, parents, made)
            keys = _keys(thing, sampled, placement, parents, scaled=scaled, half=half)
            _key(thing, sampled, list(parents), keys, made)
            skins = [
                add_skin(scene, thing, armature, mesh, sampled, Matrix(rest.tolist()), parents, made)
                for mesh in meshes
            ]
            wanted: list = [
                (thing, bpy.data.objects, name),
                (thing.data, bpy.data.armatures, armature.data.name),
                (thing.animation_data.action, bpy.data.actions, sampled.action),
            ]
            for skin, mesh in zip(skins, meshes, strict=True):
                wanted.append((skin, bpy.data.objects, mesh.name))
                wanted.append((skin.data, bpy.data.meshes, mesh.data.name))
            for one in (thing, *skins):
                one.select_set(True, view_layer=scene.view_layers[0])
            scene.view_layers[0].objects.active = thing
            scene.frame_set(sampled.range[0] - 1)  # at rest, see `_key`
            with called(wanted):
                yield StandIn(scene, thing, tuple(skins), tuple(parents), *_kinds(keys, parents, placement))
        finally:
            bpy.data.batch_remove(made)


@contextmanager
def in_scene(
    context: bpy.types.Context, scene: bpy.types.Scene, active: bpy.types.Object | None = None
) -> Iterator[None]:
    """An override for Blender's operators to work in a scene that no window shows.

    Args:
        context: the present one.
        scene: where to work; its selection counts.
        active: the active object.
    """
    layer = scene.view_layers[0]
    chosen = list(layer.objects.selected)
    place = {
        "scene": scene,
        "view_layer": layer,
        "collection": scene.collection,
        "layer_collection": layer.layer_collection,
        "active_object": active,
        "object": active,
        "selected_objects": chosen,
        "selected_editable_objects": chosen,
        "edit_object": None,
        "mode": "OBJECT",
    }
    with in_window(context), context.temp_override(**place):
        yield


def _parents(armature: bpy.types.Object, *, deform_only: bool, weighted: frozenset[str]) -> dict[str, str]:
    """The bones to export with their parents, parents before their children."""
    bones = armature.data.bones
    if deform_only and any(bone.use_deform for bone in bones):
        ordered = sorted(bones, key=lambda bone: len(bone.parent_recursive))
        rig = [
            RigBone(
                bone.name,
                bone.parent.name if bone.parent else "",
                tuple(bone.head_local),
                tuple(bone.tail_local),
                bone.use_deform,
            )
            for bone in ordered
        ]
        parents = kept_bones(rig, weighted)
    else:
        parents = {bone.name: bone.parent.name if bone.parent else "" for bone in bones}
    return {name: parents[name] for name in in_order(parents)}


def _bones(
    context: bpy.types.Context,
    scene: bpy.types.Scene,
    armature: bpy.types.Object,
    rest: np.ndarray,
    parents: Mapping[str, str],
    made: list[bpy.types.ID],
) -> bpy.types.Object:
    """The stand-in's armature at rest, without constraints or drivers."""
    data = armature.data.copy()
    made.append(data)
    data.animation_data_clear()
    data.pose_position = "POSE"
    data.transform(Matrix(rest.tolist()))
    thing = bpy.data.objects.new("recover_motion.stand_in", data)
    made.append(thing)
    scene.collection.objects.link(thing)
    with in_scene(context, scene, thing), edit_mode(bpy.context, thing):
        bones = data.edit_bones
        for bone in list(bones):
            bone.use_connect = False  # a connected bone cannot be keyed out of its socket
            if bone.name not in parents:
                bones.remove(bone)
        for name, parent in parents.items():
            bones[name].parent = bones[parent] if parent else None
    for bone in data.bones:
        bone.use_inherit_rotation = True
        bone.inherit_scale = "FULL"
        bone.use_local_location = True
        bone.hide = False
    for bone in thing.pose.bones:
        bone.rotation_mode = "QUATERNION"
    return thing


def _keys(
    thing: bpy.types.Object,
    sampled: Sampled,
    placement: Placement,
    parents: Mapping[str, str],
    *,
    scaled: bool,
    half: bool,
) -> BoneKeys:
    """The keys of the stand-in's bones."""
    names = list(parents)
    where = {name: index for index, name in enumerate(sampled.names)}
    return keys_of_bones(
        sampled.bones[:, [where[name] for name in names]],
        even_scale(sampled.armature[0]) or 1.0,
        placement,
        np.array([thing.data.bones[name].matrix_local for name in names], np.float64),
        [names.index(parents[name]) if parents[name] else -1 for name in names],
        scaled=scaled,
        half=half,
    )


def _key(
    thing: bpy.types.Object, sampled: Sampled, names: list[str], keys: BoneKeys, made: list[bpy.types.ID]
) -> None:
    """Key the bones at every frame, and the rest pose at the frame before.

    FBX has a pose of its own beside the animation, that of the frame which the scene is at. For bones without
    skin it is all that tells other programs how they are at rest.
    """
    channels = Channels(thing, sampled.action, _SLOT)
    channels.action.use_fake_user = False
    made.append(channels.action)
    frames = np.concatenate([sampled.frames[:1] - 1, sampled.frames])
    for index, name in enumerate(names):
        path = f'pose.bones["{bpy.utils.escape_identifier(name)}"].'
        for what, values, at_rest in (
            ("rotation_quaternion", keys.quats, (1, 0, 0, 0)),
            ("location", keys.locations, (0, 0, 0)),
            ("scale", keys.scales, (1, 1, 1)),
        ):
            if what == "scale" and np.abs(values[:, index] - 1).max() < _STILL:
                continue
            write_curves(channels, path + what, name, frames, np.vstack([[at_rest], values[:, index]]))


def _kinds(keys: BoneKeys, parents: Mapping[str, str], placement: Placement) -> tuple[bool, bool]:
    """Whether any bone but a root moves out of its socket, and whether any is scaled."""
    roots = np.array([not parent for parent in parents.values()])
    out = np.linalg.norm(keys.locations[:, ~roots], axis=-1).max(initial=0)
    return bool(out > _SOCKET * placement.unit), bool(np.abs(keys.scales - 1).max() > 1e-3)
