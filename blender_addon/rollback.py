# SPDX-License-Identifier: GPL-3.0-or-later
"""All or nothing: what a failed import made is removed, what it changed in the scene is put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy

from .compat import Placed
from .lost_markers import RECORD
from .provenance import KEY
from .takes import is_rig

_KINDS = (
    "actions",
    "armatures",
    "cameras",
    "collections",
    "materials",
    "meshes",
    "movieclips",
    "objects",
)

_OWN = frozenset((KEY, RECORD))
"""Custom properties that an import rewrites on an armature."""

_RENDER = ("resolution_x", "resolution_y", "resolution_percentage", "pixel_aspect_x", "pixel_aspect_y")


@contextmanager
def undone_on_failure(scene: bpy.types.Scene) -> Iterator[None]:
    """Take everything back if the block raises, then let the error go on."""
    before = {kind: {block.session_uid for block in getattr(bpy.data, kind)} for kind in _KINDS}
    camera = scene.camera
    render = {name: getattr(scene.render, name) for name in _RENDER}
    markers = [(marker.name, marker.frame, marker.camera) for marker in scene.timeline_markers]
    armatures = [_Armature(thing) for thing in scene.objects if KEY in thing and is_rig(thing)]
    try:
        yield
    except BaseException:
        for armature in armatures:
            armature.put_back()
        made = [
            block
            for kind in _KINDS
            for block in getattr(bpy.data, kind)
            if block.session_uid not in before[kind]
        ]
        bpy.data.batch_remove(made)
        scene.camera = camera
        for name, value in render.items():
            setattr(scene.render, name, value)
        _put_markers_back(scene, markers)
        raise


class _Armature:
    """What an import may change on an armature that is there already."""

    def __init__(self, thing: bpy.types.Object):
        """Remember it."""
        self._thing = thing
        animation = thing.animation_data
        self._action = Placed.on(animation) if animation else None
        tracks = animation.nla_tracks if animation else ()
        self._mute = {track.as_pointer(): track.mute for track in tracks}
        self._properties = _properties_of(thing)
        self._bones = [(bone.name, bone.rotation_mode, _properties_of(bone)) for bone in thing.pose.bones]

    def put_back(self) -> None:
        """Put it back."""
        animation = self._thing.animation_data
        if animation is not None:
            for track in list(animation.nla_tracks):
                if track.as_pointer() in self._mute:
                    track.mute = self._mute[track.as_pointer()]
                else:
                    animation.nla_tracks.remove(track)
            if self._action:
                self._action.assign_to(animation)
            else:
                animation.action = None
        _put_properties_back(self._thing, self._properties)
        for name, mode, properties in self._bones:
            self._thing.pose.bones[name].rotation_mode = mode
            _put_properties_back(self._thing.pose.bones[name], properties)


def _properties_of(owner: bpy.types.Object | bpy.types.PoseBone) -> dict[str, object]:
    """Names of the custom properties, and the values of those that an import rewrites."""
    values = {name: owner[name] for name in _OWN if name in owner}
    values = {name: value if isinstance(value, str) else value.to_dict() for name, value in values.items()}
    return dict.fromkeys(owner.keys()) | values


def _put_properties_back(owner: bpy.types.Object | bpy.types.PoseBone, properties: dict[str, object]) -> None:
    for name in [name for name in owner.keys() if name not in properties]:  # noqa: SIM118 (Blender's mapping)
        del owner[name]
    for name in _OWN & properties.keys():
        owner[name] = properties[name]


def _put_markers_back(
    scene: bpy.types.Scene, markers: list[tuple[str, int, bpy.types.Object | None]]
) -> None:
    if markers == [(marker.name, marker.frame, marker.camera) for marker in scene.timeline_markers]:
        return
    scene.timeline_markers.clear()
    for name, frame, camera in markers:
        scene.timeline_markers.new(name, frame=frame).camera = camera
