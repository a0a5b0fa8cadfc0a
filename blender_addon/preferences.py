# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences: where the backend is, and whether it is well."""

import bpy

from . import session
from .wrapped_text import write


class RECOVER_MOTION_AP_preferences(bpy.types.AddonPreferences):
    """Where the backend is."""

    bl_idname = __package__

    backend: bpy.props.StringProperty(
        name="Backend",
        description=(
            "The folder where FastHMR was set up (with `python build.py setup`), a virtual environment that"
            " it is installed in, or the fasthmr command itself. When empty, the PATH is searched"
        ),
        subtype="DIR_PATH",
    )

    def draw(self, context: bpy.types.Context) -> None:
        """The path, what was found there, and the last check."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(self, "backend")

        command, problem = session.found_backend()
        write(layout, context, problem or f"Found: {command}", "ERROR" if problem else "CHECKMARK")

        layout.operator("recover_motion.check_backend")
        for check in session.checks:
            text = f"{check.name}: {check.detail}"
            if check.advice and not check.ok:
                text += f"\n{check.advice}"
            write(layout, context, text, "CHECKMARK" if check.ok else "ERROR")


def register() -> None:
    """Register the preferences."""
    bpy.utils.register_class(RECOVER_MOTION_AP_preferences)


def unregister() -> None:
    """Unregister the preferences."""
    bpy.utils.unregister_class(RECOVER_MOTION_AP_preferences)
