# SPDX-License-Identifier: GPL-3.0-or-later
"""Escape cancels the running job, when the mouse is over the panel that shows it.

It is an entry in the keymap and no modal operator, so nothing has to be kept running, and nothing is left
over when a file is opened or the add-on is disabled. Whatever else uses Escape comes before it or is let
through: text fields, menus and running tools take the key themselves; with the mouse anywhere else, with
another tab of the sidebar in front, while an animation is playing or when no job is running, this entry
declines it.
"""

from __future__ import annotations

import time

import bpy

from . import session

CATEGORY = "Recover Motion"
"""The tab of the sidebar that our panels are in."""

_EDITORS = (("3D View Generic", "VIEW_3D"), ("Clip", "CLIP_EDITOR"))
"""Keymaps that count in the sidebars of the editors which have our panel."""

_SAME_PRESS = 0.3
"""Seconds after the end of an animation in which Escape is not meant for the job: Blender stops the animation
with the very same key press, and hands it on."""

_stopped_playing = float("-inf")
"""When an animation ended, by `time.monotonic`."""

_entries: list[tuple[bpy.types.KeyMap, bpy.types.KeyMapItem]] = []


class RECOVER_MOTION_OT_escape(bpy.types.Operator):
    """Cancel the running job; the stages that are finished are kept."""

    bl_description = "Cancel the running job; the stages that are finished are kept for the next time"
    bl_idname = "recover_motion.escape"
    bl_label = "Cancel Recover Motion"
    bl_options = {"INTERNAL"}  # noqa: RUF012 (Blender's own form)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """The mouse is over the panel of a job that is running."""
        return wants_key(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Ask for it; the panel shows when it has happened."""
        session.cancel()
        self.report({"INFO"}, "Cancelling. Finished stages are kept")
        return {"FINISHED"}


def wants_key(context: bpy.types.Context) -> bool:
    """Whether Escape is meant for the running job."""
    region, screen = context.region, context.screen
    return bool(
        region is not None
        and region.type == "UI"
        and region.active_panel_category == CATEGORY
        and not (screen is not None and screen.is_animation_playing)
        and time.monotonic() - _stopped_playing > _SAME_PRESS
        and session.busy()
        and session.can_cancel()
    )


@bpy.app.handlers.persistent
def _note_end_of_animation(*_: object) -> None:
    global _stopped_playing
    _stopped_playing = time.monotonic()


def register() -> None:
    """Register the operator and its keys; in the background there are none."""
    bpy.utils.register_class(RECOVER_MOTION_OT_escape)
    bpy.app.handlers.animation_playback_post.append(_note_end_of_animation)
    keys = bpy.context.window_manager.keyconfigs.addon
    if keys is None:
        return
    for name, space in _EDITORS:
        keymap = keys.keymaps.new(name, space_type=space)
        _entries.append((keymap, keymap.keymap_items.new("recover_motion.escape", "ESC", "PRESS")))


def unregister() -> None:
    """Take the keys and the operator back."""
    for keymap, entry in _entries:
        keymap.keymap_items.remove(entry)
    _entries.clear()
    bpy.app.handlers.animation_playback_post.remove(_note_end_of_animation)
    bpy.utils.unregister_class(RECOVER_MOTION_OT_escape)
