# SPDX-License-Identifier: GPL-3.0-or-later
"""From whom to whom and how, as a scene's settings say it; and what is wrong with that, in words."""

from __future__ import annotations

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_n as n_

from ..cleaning import imported_armature
from ..compat import Placed
from ..provenance import KEY
from .mapping_list import armature_of
from .options import Options

_MODES = ("OBJECT", "POSE")


def source_of(context: bpy.types.Context) -> bpy.types.Object | None:
    """The recovered armature whose motion is to be taken; None when there is no telling.

    The chosen one; or else the active one; or else the only one of the scene.
    """
    settings = context.scene.recover_motion_retarget
    if settings.source is not None:
        return armature_of(settings.source) if _is_here(settings.source, context.scene) else None
    active = imported_armature(context)
    if active is not None and active != armature_of(settings.target):
        return active
    there = [one for one in recovered_in(context.scene) if one != armature_of(settings.target)]
    return there[0] if len(there) == 1 else None


def target_of(context: bpy.types.Context) -> bpy.types.Object | None:
    """The armature of the chosen character; None when none was chosen, or it is not in the scene any more."""
    chosen = context.scene.recover_motion_retarget.target
    if chosen is None or not _is_here(chosen, context.scene):
        return None
    return armature_of(chosen)


def recovered_in(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The recovered armatures of a scene."""
    return [thing for thing in scene.objects if thing.type == "ARMATURE" and KEY in thing]


def options_of(settings: bpy.types.PropertyGroup) -> Options:
    """How, as the settings say it."""
    return Options(**{name: getattr(settings, name) for name in Options.__dataclass_fields__})


def frames_of(context: bpy.types.Context) -> tuple[int, int] | None:
    """The first and the last frame to take; None for all that the motion has."""
    scene = context.scene
    if scene.recover_motion_retarget.all_frames:
        return None
    if scene.use_preview_range:
        return scene.frame_preview_start, scene.frame_preview_end
    return scene.frame_start, scene.frame_end


def problem_of(context: bpy.types.Context) -> str:
    """Why nothing can be retargeted as it is chosen; empty when it can be."""
    for look in (problem_of_mode, problem_of_source, problem_of_target):
        if problem := look(context):
            return problem
    return ""


def problem_of_mode(context: bpy.types.Context) -> str:
    """Why it cannot be done in this mode; empty when it can be."""
    return "" if context.mode in _MODES else n_("Go back to Object Mode or Pose Mode")


def problem_of_source(context: bpy.types.Context) -> str:
    """What is wrong with the source; empty when nothing is."""
    settings, source = context.scene.recover_motion_retarget, source_of(context)
    if source is None:
        if settings.source is not None and not _is_here(settings.source, context.scene):
            return iface_("{} is not in this scene any more: choose another source").format(
                settings.source.name
            )
        if settings.source is not None:
            return iface_("{} is no armature with recovered motion, nor the skin of one").format(
                settings.source.name
            )
        if not recovered_in(context.scene):
            return n_("There is no recovered motion in this scene: recover some, or import it")
        return n_("Choose the source: several recovered bodies are in this scene")
    if KEY not in source:
        return iface_("{} is no armature with recovered motion, nor the skin of one").format(source.name)
    animation = source.animation_data
    if animation is None or (animation.action is None and not any(map(_plays, animation.nla_tracks))):
        return iface_("{} has no motion: assign its recovered action again").format(source.name)
    if animation.use_tweak_mode:
        return n_("Leave the tweak mode of the NLA editor")
    used = Placed.on(animation)
    if used is not None and not used.curves():
        return iface_(
            'The action "{}" does not move {}: choose another slot of it, or another action'
        ).format(used.action.name, source.name)
    return ""


def problem_of_target(context: bpy.types.Context) -> str:
    """What is wrong with the chosen character; empty when nothing is."""
    chosen, target = context.scene.recover_motion_retarget.target, target_of(context)
    if chosen is None:
        return n_("Choose the target: the character's armature, or its skin")
    if not _is_here(chosen, context.scene):
        return iface_("{} is not in this scene any more: choose another target").format(chosen.name)
    if target is None:
        return iface_("{} is no armature, and no armature moves it: choose the character's armature").format(
            chosen.name
        )
    if target == source_of(context):
        return n_("Source and target are the same: choose the character that is to move")
    return reason_against(target)


def reason_against(target: bpy.types.Object) -> str:
    """Why an armature cannot be given a motion; empty when it can be."""
    override = target.override_library
    if target.library is not None or (override is not None and override.is_system_override):
        return iface_("{} is linked: make a library override of it first").format(target.name)
    if target.animation_data is not None and target.animation_data.use_tweak_mode:
        return n_("Leave the tweak mode of the NLA editor")
    return ""


def _plays(track: bpy.types.NlaTrack) -> bool:
    return not track.mute and any(not strip.mute for strip in track.strips)


def _is_here(thing: bpy.types.Object, scene: bpy.types.Scene) -> bool:
    """Whether an object is in a scene. One that was deleted stays in the file while it is chosen here."""
    return scene in thing.users_scene
