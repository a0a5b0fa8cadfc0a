# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences: the backend and its state, the processor, and the user's own models."""

import bpy
from bpy.app.translations import pgettext_n as n_

from . import installation, model_menus, session, settings
from .backend_setup import State, Status
from .wrapped_text import write

_LICENCES = (
    "HMR2.0 (4D-Humans): the code is MIT; the weights come from data sets for research.",
    "CameraHMR: no licence comes with the code; weights after registering. Take them as research only.",
    "SMPL files: non-commercial research unless you have a commercial licence; smpl.is.tue.mpg.de.",
    "Motion recovered with them is bound by their licence. What comes along may be used commercially.",
)

_INSTALL_TEXTS = {
    Status.INTERRUPTED: n_("Continue Installation"),
    Status.BROKEN: n_("Mend Installation"),
    Status.OTHER_VERSION: n_("Update Backend"),
    Status.READY: n_("Check Files Again"),
}


class RECOVER_MOTION_AP_preferences(bpy.types.AddonPreferences):
    """Where the backend is, what it runs on, and where the user's own models are."""

    bl_idname = __package__

    install_folder: bpy.props.StringProperty(
        name="Folder",
        description=(
            "Where the backend is installed: an empty or new folder on a disk with 2.5 GB free, 12 GB for an"
            " NVIDIA card. When empty, among the files of this Blender version, which go with the extension"
        ),
        subtype="DIR_PATH",
    )
    backend: bpy.props.StringProperty(
        name="Existing Backend",
        description=(
            "A backend to use instead: the folder where FastHMR was set up (with `python build.py setup`), a"
            " virtual environment that it is installed in, or the fasthmr command itself"
        ),
        subtype="DIR_PATH",
    )
    use_smplx: bpy.props.BoolProperty(
        name="Read SMPL Files",
        description=(
            "Also install the package smplx, which reads official SMPL files. Its licence is for"
            " non-commercial research. Install the backend again after changing this"
        ),
    )
    device: bpy.props.EnumProperty(
        name="Device",
        description="The processor that jobs run on",
        items=(
            ("AUTO", "Automatic", "The NVIDIA card where there is one, or else the processor"),
            ("CPU", "CPU", "The processor, even where there is a graphics card"),
            ("CUDA", "NVIDIA GPU", "The NVIDIA card; a job fails where there is none that can be used"),
            ("MPS", "Apple GPU", "Apple's graphics processor; it lacks operations that some stages use"),
        ),
    )
    use_preview: bpy.props.BoolProperty(
        name="Live Preview",
        description=(
            "Show a small picture of the work while a job is running, about once a second. Turned off, the"
            " backend makes none"
        ),
        default=True,
    )
    models: bpy.props.StringProperty(
        name="Models",
        description=(
            "Folder with your own checkpoints (HMR2.0, CameraHMR) and SMPL files, to choose in the options"
        ),
        subtype="DIR_PATH",
    )

    def draw(self, context: bpy.types.Context) -> None:
        """The backend with its state in words and buttons, then the choices."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        _draw_backend(layout.box(), context, self)
        layout.prop(self, "device")
        layout.prop(self, "use_preview")
        _draw_models(layout.box(), context, self)


def _draw_backend(layout: bpy.types.UILayout, context: bpy.types.Context, preferences) -> None:
    """State, progress, buttons and the last check."""
    text, well = installation.state_in_words()
    if installation.busy():
        row = layout.row(align=True)
        row.progress(factor=installation.setup.fraction, text=text, type="BAR")
        row.operator("recover_motion.cancel_setup", text="", icon="X")
        return
    write(layout, context, text, "CHECKMARK" if well else "ERROR")
    setup = installation.setup
    if setup is not None and setup.state is not State.DONE:
        write(layout, context, setup.message, "INFO")
        for line in setup.lines[-3:]:
            write(layout, context, line)

    status = installation.condition().status
    row = layout.row()
    install = _INSTALL_TEXTS.get(status, n_("Install Backend"))
    row.operator("recover_motion.install_backend", text=install, icon="IMPORT")
    row.operator("recover_motion.use_backend_folder", icon="FILE_FOLDER")
    row = layout.row()
    row.operator("recover_motion.check_backend", text="Check", icon="VIEWZOOM")
    row.operator("recover_motion.copy_report", icon="COPYDOWN")
    row.operator("recover_motion.remove_backend", text="Remove", icon="TRASH")

    if offline := installation.offline():
        write(layout, context, f"{offline}. It is needed to install, for nothing else.", "INFO")
        if not bpy.app.online_access_override:
            layout.prop(context.preferences.system, "use_online_access")
    column = layout.column()
    column.prop(preferences, "install_folder", placeholder=str(settings.install_folder()))
    column.prop(preferences, "backend", placeholder="None: the one in the folder above")
    column.prop(preferences, "use_smplx")
    for check in session.checks:
        line = f"{check.name}: {check.detail}"
        if check.advice and not check.ok:
            line += f"\n{check.advice}"
        write(layout, context, line, "CHECKMARK" if check.ok else "ERROR" if check.required else "INFO")


def _draw_models(layout: bpy.types.UILayout, context: bpy.types.Context, preferences) -> None:
    """The folder, what was found in it, and what the licences mean."""
    layout.prop(preferences, "models", placeholder="Your own checkpoints and SMPL files")
    if settings.models_folder() is not None:
        names = ", ".join(dict.fromkeys(one.label for one in model_menus.found()))
        write(
            layout,
            context,
            f"Found: {names}" if names else "No checkpoint or SMPL file was found there.",
            "INFO",
        )
    for line in _LICENCES:
        write(layout, context, line)


def register() -> None:
    """Register the preferences."""
    bpy.utils.register_class(RECOVER_MOTION_AP_preferences)


def unregister() -> None:
    """Unregister the preferences."""
    bpy.utils.unregister_class(RECOVER_MOTION_AP_preferences)
