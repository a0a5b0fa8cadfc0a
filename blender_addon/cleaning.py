# SPDX-License-Identifier: GPL-3.0-or-later
"""Cleaning an imported motion: a second action beside the recovered one, written anew each time.

The recovered action, the source, is never changed. All settings are applied to it together whenever the
motion is cleaned, so that each can be changed and changed back. Keys that the user has edited in the cleaned
action are never overwritten: the action is set aside under another name first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import bpy
import numpy as np
from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_n as n_

from .action import SLOT_NAME, WRITTEN
from .cleaning_steps import CleaningSteps, clean_motion
from .compat import NAME_BYTES, Channels, Placed
from .leg_pose import RestSkeleton
from .motion_curves import fingerprint, read_motion, write_confidence, write_motion, write_thinned
from .provenance import KEY, stamp
from .rig import rest_quats
from .skeleton import JOINT_COUNT, JOINT_NAMES

MARK = "recovered_clean"
"""Custom property of an action that was written by cleaning: its name then, its fingerprint, what it says."""


class CleaningProblem(Exception):  # noqa: N818 (as ImportProblem)
    """The motion cannot be cleaned; the message says why, and what to do."""


@dataclass(frozen=True)
class Cleaned:
    """What cleaning made.

    Attributes:
        action: the cleaned action; the armature uses it.
        frame_range: its first and last frame.
        keys: how many keys the bones have; a bone's key at a frame is one.
        keys_before: how many that would be with every bone keyed at every frame.
        degrees: with fewer keys, the farthest that any bone's rotation is from the motion at any frame.
        metres: the farthest that the pelvis is from it.
        set_aside: name under which an edited action was kept; empty when there was none.
    """

    action: bpy.types.Action
    frame_range: tuple[int, int]
    keys: int
    keys_before: int
    degrees: float
    metres: float
    set_aside: str

    def __str__(self) -> str:
        first, last = self.frame_range
        said = f"Frames {first} to {last}: {self.keys:,} keys"
        if self.keys == self.keys_before:
            return f"{said}, one at every frame"
        off = f"{self.degrees:.2f}° and {1000 * self.metres:.1f} mm"
        return f"{said} instead of {self.keys_before:,}; off by {off} at most"


def imported_armature(context: bpy.types.Context) -> bpy.types.Object | None:
    """The imported armature that is active, or that moves the active body; None when there is none."""
    thing = getattr(context, "object", None)
    if thing is not None and thing.type == "MESH":
        thing = thing.find_armature()
    return thing if thing is not None and thing.type == "ARMATURE" and KEY in thing else None


def reason_against(armature: bpy.types.Object) -> str:
    """Why an imported armature cannot be cleaned; empty when it can be."""
    override = armature.override_library
    if armature.library is not None or (override is not None and override.is_system_override):
        return n_("The armature is linked: make a library override of it to clean its motion")
    missing = [name for name in JOINT_NAMES if name not in armature.pose.bones]
    if missing:
        return iface_("The armature has no bone {} any more").format(missing[0])
    turned = [name for name in JOINT_NAMES if armature.pose.bones[name].rotation_mode != "QUATERNION"]
    if turned:
        return iface_("Set the rotation mode of {} back to Quaternion: its keys are of that kind").format(
            turned[0]
        )
    if armature.animation_data is not None and armature.animation_data.use_tweak_mode:
        return n_("Leave the tweak mode of the NLA editor")
    if find_source(armature) is None:
        return n_("The recovered action is gone: assign it to the armature, or import the motion again")
    return ""


def find_source(armature: bpy.types.Object) -> Placed | None:
    """The recovered action: the one in use if it is recovered, or else the one that was cleaned last."""
    settings = armature.recover_motion_cleaning
    used = action_in_use(armature)
    if used is not None and KEY in used.action and used.action != settings.cleaned:
        mark = used.action.get(MARK)
        # a copy of a cleaned action carries its mark, and so does a new take that was based on one
        if mark is None or (
            mark["name"] != used.action.name and mark["fingerprint"] != fingerprint(used.curves())
        ):
            return used
    return Placed.in_slot(settings.source, SLOT_NAME) if settings.source else None


def action_in_use(armature: bpy.types.Object) -> Placed | None:
    """The action that moves an armature: the active one, or else a recovered one in the topmost NLA strip."""
    user = _user(armature)
    return user and Placed.on(user)


def clean(armature: bpy.types.Object, fps: float) -> Cleaned:
    """Write the cleaned action from the source with all settings, and let it move the armature.

    Args:
        armature: an imported armature, see `reason_against`.
        fps: frames per second of its scene.

    Raises:
        CleaningProblem: the source has no keys on the bones; nothing has changed then.
    """
    settings = armature.recover_motion_cleaning
    source = find_source(armature)
    motion = source and read_motion(source.curves())
    if motion is None:
        raise CleaningProblem(
            f"The source of {armature.name} has no keys on the bones: import the motion again."
        )
    motion = clean_motion(motion, rest_skeleton(armature), steps_of(settings), fps)
    first, last = int(motion.frames[0]), int(motion.frames[-1])

    settings.source = source.action
    _keep(source.action)
    set_aside = _set_aside(armature)
    channels = _emptied(armature, source)
    keys, degrees, metres = JOINT_COUNT * len(motion.frames), 0.0, 0.0
    if settings.use_thinning:
        thinned = write_thinned(
            channels,
            motion,
            float(np.degrees(settings.rotation_bound)),
            settings.location_bound,
            settings.interpolation,
            settings.use_loop,
        )
        keys, degrees, metres = thinned.count, thinned.degrees, thinned.metres
    else:
        write_motion(channels, motion)
    write_confidence(channels, source.curves(), first, last)

    action = settings.cleaned = channels.action
    action.use_frame_range = action.use_cyclic = settings.use_loop  # Blender's own mark of a repeating action
    if settings.use_loop:
        action.frame_start, action.frame_end = first, last
    action.update_tag()  # curves that are changed by scripts do not tell
    cleaned = Cleaned(
        action, (first, last), keys, JOINT_COUNT * len(motion.frames), degrees, metres, set_aside
    )
    action[MARK] = {
        "name": action.name,
        "source": source.action.name,
        "fingerprint": fingerprint(Placed.in_slot(action, SLOT_NAME).curves()),
        "says": str(cleaned),
    }
    return cleaned


def show(armature: bpy.types.Object, action: bpy.types.Action) -> None:
    """Let the source or the cleaned action move an armature, in the place where the other one is now."""
    user = _user(armature) or armature.animation_data_create()
    if user.action is not None:
        _keep(user.action)
    Placed.in_slot(action, SLOT_NAME).assign_to(user)


def steps_of(settings: bpy.types.PropertyGroup) -> CleaningSteps:
    """The settings of an armature as steps."""
    return CleaningSteps(
        trim_start=settings.trim_start,
        trim_end=settings.trim_end,
        smooth=settings.smooth,
        keep_feet=settings.keep_feet,
        in_place=settings.in_place,
        loop_span=settings.loop_span if settings.use_loop else 0,
        loop_travels=settings.loop_travels,
        floor=settings.floor if settings.use_floor else None,
        share_below=settings.share_below / 100,
    )


def rest_skeleton(armature: bpy.types.Object) -> RestSkeleton:
    """The bones of an imported armature at rest."""
    bones = [armature.data.bones[name] for name in JOINT_NAMES]
    return RestSkeleton(
        np.array([bone.head_local for bone in bones]),
        np.array([bone.tail_local for bone in bones]),
        rest_quats(armature),
    )


def _user(armature: bpy.types.Object) -> bpy.types.AnimData | bpy.types.NlaStrip | None:
    """What holds the action that moves an armature."""
    animation = armature.animation_data
    if animation is None or animation.action is not None:
        return animation
    return next(_strips_with_takes(animation), animation)


def _strips_with_takes(animation: bpy.types.AnimData) -> Iterator[bpy.types.NlaStrip]:
    for track in reversed(animation.nla_tracks):
        for strip in track.strips:
            if strip.action is not None and not (track.mute or strip.mute) and KEY in strip.action:
                yield strip


def _set_aside(armature: bpy.types.Object) -> str:
    """Let go of the cleaned action if it must not be overwritten.

    Returns:
        The name that it has now, if that is because its keys were edited.
    """
    settings = armature.recover_motion_cleaning
    action = settings.cleaned
    if action is None:
        return ""
    others = (
        thing
        for thing in bpy.data.objects
        if thing != armature and thing.recover_motion_cleaning.cleaned == action
    )
    if (
        action.library is not None or next(others, None) is not None
    ):  # linked, or of an armature that this is a copy of
        settings.cleaned = None
        return ""
    mark = action.get(MARK)
    if mark is not None and mark["fingerprint"] == fingerprint(Placed.in_slot(action, SLOT_NAME).curves()):
        return ""
    action.name = _named(settings.source.name, ".edited")
    _keep(action)
    if mark is not None:
        mark["name"] = action.name
    settings.cleaned = None
    return action.name


def _emptied(armature: bpy.types.Object, source: Placed) -> Channels:
    """The cleaned action without the keys of a take, in use; made if there is none."""
    settings = armature.recover_motion_cleaning
    animation = armature.animation_data_create()
    if settings.cleaned is not None:
        channels = Channels.already_in(Placed.in_slot(settings.cleaned, SLOT_NAME))
        channels.remove(WRITTEN)
        show(armature, channels.action)
        return channels
    user, active = _user(armature), Placed.on(animation)
    if user.action is not None:
        _keep(user.action)
    own = {
        curve.data_path for curve in source.curves()
    } - WRITTEN  # what the user has keyed beside the motion
    name = _named(source.action.name, ".clean")
    channels = Channels(armature, name, SLOT_NAME, based_on=source if own else None)
    channels.remove(WRITTEN)
    stamp(channels.action, source.action[KEY].to_dict())
    if user != animation:
        new = Placed.on(animation)
        animation.action = None
        if active is not None:
            active.assign_to(animation)
        new.assign_to(user)
    return channels


def _named(name: str, ending: str) -> str:
    """A name with an ending that Blender does not cut off."""
    return name.encode()[: NAME_BYTES - len(ending) - len(".000")].decode(errors="ignore") + ending


def _keep(action: bpy.types.Action) -> None:
    """See to it that an action is saved although nothing uses it."""
    if action.library is None:
        action.use_fake_user = True
