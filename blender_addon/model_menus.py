# SPDX-License-Identifier: GPL-3.0-or-later
"""Choosing among the user's own checkpoints and body files: two menus of what is in the models folder.

Menus and not enumerations, as the latter would need callbacks (see `properties`).
"""

import time
from pathlib import Path

import bpy
from bpy.app.translations import pgettext_n as n_

from . import settings
from .model_files import ModelFile, find_model_files

_seen: tuple[float, Path | None, list[ModelFile]] = (0.0, None, [])


def found() -> list[ModelFile]:
    """What is in the models folder; looks at most every 5 s."""
    global _seen
    folder = settings.models_folder()
    if folder != _seen[1] or time.monotonic() > _seen[0]:
        _seen = (time.monotonic() + 5.0, folder, find_model_files(folder) if folder else [])
    return _seen[2]


def find(name: str) -> ModelFile | None:
    """The file of a name, as a form keeps it; None when it is not in the folder."""
    return next((one for one in found() if one.name == name), None)


def label(name: str, without: str) -> str:
    """What to call a form's choice; `without` when nothing was chosen."""
    file = find(name)
    return without if not name else file.label if file else f"{name} (missing)"


class RECOVER_MOTION_OT_choose_model(bpy.types.Operator):
    """Choose a file of the models folder for this scene."""

    bl_description = "Use this file of the models folder"
    bl_idname = "recover_motion.choose_model"
    bl_label = "Choose Model"
    bl_options = {"REGISTER", "INTERNAL"}  # noqa: RUF012

    name: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    is_body: bpy.props.BoolProperty(options={"HIDDEN", "SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Write it into the form."""
        setattr(context.scene.recover_motion, "body" if self.is_body else "model", self.name)
        return {"FINISHED"}


def _draw(layout: bpy.types.UILayout, *, is_body: bool, without: str) -> None:
    entries = [("", without)]
    entries += [(one.name, one.label) for one in found() if (one.kind == "body") == is_body]
    for name, text in entries:
        if name:  # a file's: no word to translate
            choice = layout.operator("recover_motion.choose_model", text=text, translate=False)
        else:
            choice = layout.operator("recover_motion.choose_model", text=text)
        choice.name, choice.is_body = name, is_body


class RECOVER_MOTION_MT_models(bpy.types.Menu):
    """The checkpoints in the models folder."""

    bl_idname = "RECOVER_MOTION_MT_models"
    bl_label = "Model"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the menu."""
        _draw(self.layout, is_body=False, without=n_("Built-in"))


class RECOVER_MOTION_MT_bodies(bpy.types.Menu):
    """The body files in the models folder."""

    bl_idname = "RECOVER_MOTION_MT_bodies"
    bl_label = "Body"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the menu."""
        _draw(self.layout, is_body=True, without=n_("Open Body"))


def draw_choices(layout: bpy.types.UILayout, form: bpy.types.PropertyGroup) -> None:
    """Draw both choices, where there is something to choose or something was chosen."""
    kinds = {one.kind for one in found()}
    if form.model or kinds - {"body"}:
        row = layout.split(factor=0.4)
        row.alignment = "RIGHT"
        row.label(text="Model")
        row.menu(RECOVER_MOTION_MT_models.bl_idname, text=label(form.model, n_("Built-in")))
    if form.body or "body" in kinds:
        row = layout.split(factor=0.4)
        row.alignment = "RIGHT"
        row.label(text="Body")
        row.menu(RECOVER_MOTION_MT_bodies.bl_idname, text=label(form.body, n_("Open Body")))


_CLASSES = (RECOVER_MOTION_OT_choose_model, RECOVER_MOTION_MT_models, RECOVER_MOTION_MT_bodies)


def register() -> None:
    """Register the operator and the menus."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister them."""
    global _seen
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
    _seen = (0.0, None, [])
