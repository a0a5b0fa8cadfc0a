# SPDX-License-Identifier: GPL-3.0-or-later
"""A second import of the same person: the armature that is there gets a new take, and no take is ever lost.

Who a person is says the provenance on the armature: the footage's checksum and the person's number. The new
take is put where the old one was, in the action or in a strip of the NLA, so that layers which the user has
put on top work as before. What the user has keyed beside the motion (a constraint's influence, the armature's
own place, a bone's scale) is copied into the new action. The old action keeps its name and a fake user.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import bpy
import numpy as np

from .action import SLOT_NAME, WRITTEN
from .compat import Channels, Placed
from .provenance import KEY, identity
from .rest_figure import RestFigure
from .skeleton import JOINT_NAMES

Existing = Literal["NEW", "REPLACE", "STACK"]

_OTHER_SHAPE = 0.01
"""Metres between rest joints at which the user should know of it."""


@dataclass(frozen=True)
class _Place:
    """Where an armature's take is.

    Attributes:
        take: its action; None when the armature has none.
        track: the NLA track that it is in; None when it is the active action.
    """

    take: Placed | None
    track: bpy.types.NlaTrack | None


def find_earlier(
    context: bpy.types.Context, person: tuple[str, str], taken: Collection[bpy.types.Object]
) -> bpy.types.Object | None:
    """The armature in the scene that a person was imported to before.

    Of several, the active one, or else a selected one, or else the first by name.

    Args:
        context: its scene is searched.
        person: `identity` of the person's provenance.
        taken: armatures that cannot be it.
    """
    found = [
        thing
        for thing in context.scene.objects
        if is_rig(thing) and thing not in taken and KEY in thing and identity(thing[KEY].to_dict()) == person
    ]
    active, selected = context.view_layer.objects.active, set(context.view_layer.objects.selected)
    found.sort(key=lambda thing: (thing != active, thing not in selected, thing.name))
    return found[0] if found else None


def is_rig(thing: bpy.types.Object) -> bool:
    """Whether an object is an armature of this file, that can be changed."""
    return thing.type == "ARMATURE" and thing.library is None


def missing_bones(armature: bpy.types.Object) -> list[str]:
    """Bones that a take needs and the armature has no longer."""
    return [name for name in JOINT_NAMES if name not in armature.data.bones]


class NewTake:
    """A new take of an armature, new or there already, from empty curves to its place.

    Fill `channels`, then call `put_in_place`.
    """

    def __init__(self, armature: bpy.types.Object, name: str, person: tuple[str, str]):
        """Make the action.

        Args:
            armature: a new one, or one with earlier takes.
            name: of the action.
            person: `identity` of the take.
        """
        self._armature = armature
        self._animation = animation = armature.animation_data_create()
        if animation.use_tweak_mode:
            animation.use_tweak_mode = False  # a strip was being edited; its action keeps what was done
        self._place = _place_of(animation, person)
        self._active = Placed.on(animation)
        old = self._place.take
        own = sorted({curve.data_path for curve in old.curves()} - WRITTEN) if old else []
        self.kept_paths: Sequence[str] = own
        """Properties that the user has keyed beside the motion."""
        self.channels = Channels(armature, name, SLOT_NAME, based_on=old if own else None)
        if own:
            self.channels.remove(WRITTEN)

    def put_in_place(self, *, stack: bool, use_nla: bool) -> list[str]:
        """Let the new take move the armature instead of the old one.

        Args:
            stack: keep the old take in a muted track.
            use_nla: put the new take into a strip.

        Returns:
            What happened to what was there, in words; empty for an armature without an earlier take.
        """
        animation, place = self._animation, self._place
        new = Placed.on(animation)
        assert new is not None  # noqa: S101 (Channels has just assigned it)
        track = place.track
        if track is not None:
            track.mute = True
        elif stack and place.take is not None:
            track = _add_strip(animation, place.take)
            track.mute = True
        if place.track is not None or use_nla:
            animation.action = None
            _add_strip(animation, new, above=track)
            if place.track is not None and self._active is not None:
                self._active.assign_to(animation)
        return self._said(track) if place.take else []

    def _said(self, track: bpy.types.NlaTrack | None) -> list[str]:
        old, name = self._place.take.action, self._armature.name
        old.use_fake_user = True
        where = f'in the muted NLA track "{track.name}"' if track else "in the file"
        said = [f'{name} moves by "{self.channels.action.name}" now. Its take "{old.name}" is kept {where}.']
        if self.kept_paths:
            said.append(f"Your own keys were copied to the new take: {', '.join(self.kept_paths)}.")
        return said


def fit_for_take(armature: bpy.types.Object, figure: RestFigure) -> list[str]:
    """Make sure that a take's curves move an earlier armature.

    Args:
        armature: the earlier armature; its bones stay as they are.
        figure: the body that the new motion was made with.

    Returns:
        What the user should know, in words.
    """
    said = []
    bones = armature.pose.bones
    turned = [name for name in JOINT_NAMES if bones[name].rotation_mode != "QUATERNION"]
    for name in turned:
        bones[name].rotation_mode = "QUATERNION"
    if turned:
        said.append(f"The motion turns by quaternions: rotation mode of {', '.join(turned)} changed.")
    heads = np.array([armature.data.bones[name].head_local for name in JOINT_NAMES])
    off = np.abs((heads - heads[0]) - (figure.joints - figure.joints[0])).max()
    if off > _OTHER_SHAPE:
        said.append(
            f"{armature.name} keeps its body, but this motion was made with another shape (joints up to "
            f"{100 * off:.0f} cm elsewhere): hands and feet may be off. Import it as new for its own shape."
        )
    return said


def _place_of(animation: bpy.types.AnimData, person: tuple[str, str]) -> _Place:
    """Where the take is that moves an armature now.

    An action that carries the person's provenance is a take. Without one in sight, the active action is.
    """
    active = Placed.on(animation)
    if active and _is_take(active.action, person):
        return _Place(active, None)
    for track in reversed(animation.nla_tracks):
        for strip in track.strips:
            if strip.action and not track.mute and not strip.mute and _is_take(strip.action, person):
                return _Place(Placed.on(strip), track)
    return _Place(active, None)


def _is_take(action: bpy.types.Action, person: tuple[str, str]) -> bool:
    return KEY in action and identity(action[KEY].to_dict()) == person


def _add_strip(
    animation: bpy.types.AnimData, placed: Placed, above: bpy.types.NlaTrack | None = None
) -> bpy.types.NlaTrack:
    """Put an action into a strip of a track of its own, at the frames of its keys.

    Args:
        animation: the animation data.
        placed: the action.
        above: the track below the new one; the topmost by default.
    """
    tracks = animation.nla_tracks
    track = tracks.new(prev=above) if above else tracks.new()
    track.name = placed.action.name
    first, last = placed.action.curve_frame_range
    strip = track.strips.new(placed.action.name, int(first), placed.action)
    placed.assign_to(strip)
    strip.action_frame_start, strip.action_frame_end = first, max(last, first + 1)
    strip.frame_start_raw, strip.frame_end_raw = first, max(last, first + 1)
    return track
