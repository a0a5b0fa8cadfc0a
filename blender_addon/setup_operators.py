# SPDX-License-Identifier: GPL-3.0-or-later
"""What the preferences' buttons do: install the backend, use another, remove it, copy a report.

In a window, installing and removing start and return at once; in `blender -b` they do the whole.
"""

from pathlib import Path

import bpy
from bpy.app.translations import pgettext_n as n_

from . import installation, session, settings
from .backend_location import BackendProblem, find_command
from .backend_setup import State


def _may(cls: type[bpy.types.Operator], reason: str) -> bool:
    """Whether there is no reason against it; when there is one, the button's tooltip says it."""
    if reason:
        cls.poll_message_set(reason)
    return not reason


class _SettingUp:
    """What the operators that change the folder share."""

    what: str

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Start and return, the preferences show how it goes on; without a window, do the whole."""
        try:
            if not bpy.app.background:
                installation.begin(self.what)
                return {"FINISHED"}
            done = installation.run(self.what)
        except OSError as error:
            self.report({"ERROR"}, f"Python could not be started: {error.strerror or error}.")
            return {"CANCELLED"}
        if done.state is State.DONE:
            self.report({"INFO"}, done.message)
            return {"FINISHED"}
        self.report({"ERROR"}, "\n".join((done.message, *done.lines)))
        return {"CANCELLED"}


class RECOVER_MOTION_OT_install_backend(_SettingUp, bpy.types.Operator):
    """Install the backend, or go on with an installation, mend it or bring it to this version."""

    bl_description = (
        "Download and install the backend into the folder, or go on where an installation was interrupted."
        " Blender's own Python is not changed"
    )
    bl_idname = "recover_motion.install_backend"
    bl_label = "Install Backend"
    bl_options = {"REGISTER"}  # noqa: RUF012 (Blender's own form)
    what = "install"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There is a package to install, a folder for it, the network may be used, and nothing else runs."""
        return _may(cls, installation.can_install())


class RECOVER_MOTION_OT_cancel_setup(bpy.types.Operator):
    """Stop the installation; what is finished is kept."""

    bl_description = "Stop; what is finished is kept for the next time"
    bl_idname = "recover_motion.cancel_setup"
    bl_label = "Cancel"
    bl_options = {"REGISTER"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Something is being installed or removed."""
        return _may(cls, "" if installation.busy() else n_("Nothing is being installed"))

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Stop it."""
        installation.cancel()
        return {"FINISHED"}


class RECOVER_MOTION_OT_use_backend_folder(bpy.types.Operator):
    """Use a backend that is set up already."""

    bl_description = (
        "Use a backend that is set up already: the folder where `python build.py setup` was run, a virtual"
        " environment, or a folder that another Blender installed it in"
    )
    bl_idname = "recover_motion.use_backend_folder"
    bl_label = "Use Existing Folder"
    bl_options = {"REGISTER"}  # noqa: RUF012

    directory: bpy.props.StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Nothing runs that uses the present one."""
        busy = session.busy() or installation.busy()
        return _may(cls, n_("A job or an installation is running: wait for it or cancel it") if busy else "")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for the folder."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Take it, if there is a backend in it."""
        folder = bpy.path.abspath(self.directory)
        try:
            find_command(folder, {})
        except BackendProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        preferences = settings.preferences()
        if preferences is None:
            self.report({"ERROR"}, "The add-on is not enabled.")
            return {"CANCELLED"}
        ours = Path(folder).absolute() == settings.install_folder()
        preferences.backend = "" if ours else folder
        installation.look_again()
        return {"FINISHED"}


class RECOVER_MOTION_OT_remove_backend(_SettingUp, bpy.types.Operator):
    """Delete the backend that this add-on installed."""

    bl_description = "Delete the backend that this add-on installed; nothing else in its folder is touched"
    bl_idname = "recover_motion.remove_backend"
    bl_label = "Remove Backend"
    bl_options = {"REGISTER"}  # noqa: RUF012
    what = "remove"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Something that the add-on installed is in the folder, and nothing runs."""
        return _may(cls, installation.can_remove())

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask first: it takes a while to get it back."""
        return context.window_manager.invoke_confirm(self, event)


class RECOVER_MOTION_OT_copy_report(bpy.types.Operator):
    """Copy a report about the backend."""

    bl_description = (
        "Copy a report about the backend and the last check to the clipboard, to ask for help with"
    )
    bl_idname = "recover_motion.copy_report"
    bl_label = "Copy Report"
    bl_options = {"REGISTER"}  # noqa: RUF012

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Copy it."""
        context.window_manager.clipboard = installation.report()
        self.report({"INFO"}, "The report is in the clipboard.")
        return {"FINISHED"}


_CLASSES = (
    RECOVER_MOTION_OT_install_backend,
    RECOVER_MOTION_OT_cancel_setup,
    RECOVER_MOTION_OT_use_backend_folder,
    RECOVER_MOTION_OT_remove_backend,
    RECOVER_MOTION_OT_copy_report,
)


def register() -> None:
    """Register the operators."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister them."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
