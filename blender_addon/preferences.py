# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences: where the backend is, and whether it is well."""

import bpy

from . import session


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

        column = layout.column(align=True)
        command, problem = session.found_backend()
        if problem:
            for line in problem.splitlines():
                column.label(text=line, icon="ERROR")
        else:
            column.label(text=f"Found: {command}", icon="CHECKMARK")

        layout.operator("recover_motion.check_backend")
        for check in session.checks:
            row = layout.row()
            row.label(text=f"{check.name}: {check.detail}", icon="CHECKMARK" if check.ok else "ERROR")
            if check.advice and not check.ok:
                layout.label(text=check.advice, icon="BLANK1")


def register() -> None:
    """Register the preferences."""
    bpy.utils.register_class(RECOVER_MOTION_AP_preferences)


def unregister() -> None:
    """Unregister the preferences."""
    bpy.utils.unregister_class(RECOVER_MOTION_AP_preferences)
