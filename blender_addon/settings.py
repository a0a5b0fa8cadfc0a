# SPDX-License-Identifier: GPL-3.0-or-later
"""What the preferences say, as absolute paths and as the worker's words.

The preferences themselves are declared in `preferences`. There are none while the add-on is imported but not
enabled (a script, a test): then everything is as nobody had chosen anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import bpy

if TYPE_CHECKING:
    from .preferences import RECOVER_MOTION_AP_preferences as Preferences


def preferences() -> Preferences | None:
    """The add-on's preferences; None when it is not enabled."""
    addon = bpy.context.preferences.addons.get(__package__)
    return addon.preferences if addon else None


def backend_path() -> str:
    """Where the user says that a backend is already; empty for the one that the add-on installs."""
    chosen = preferences()
    return bpy.path.abspath(chosen.backend) if chosen and chosen.backend.strip() else ""


def install_folder() -> Path:
    """The folder that the add-on installs the backend in: the chosen one, or one among the user's own files.

    The extension's own folder is no place for it: Blender replaces that with each update.
    """
    chosen = preferences()
    if chosen and chosen.install_folder.strip():
        return Path(bpy.path.abspath(chosen.install_folder)).absolute()
    try:
        return Path(bpy.utils.extension_path_user(__package__)) / "backend"
    except ValueError:  # not installed as an extension
        return Path(bpy.utils.user_resource("DATAFILES"), "recover_motion", "backend").absolute()


def device() -> str:
    """The processor for jobs, as the worker's `device`."""
    chosen = preferences()
    return chosen.device.lower() if chosen else "auto"


def shows_preview() -> bool:
    """Whether running jobs show a picture of the work."""
    chosen = preferences()
    return chosen.use_preview if chosen else True


def models_folder() -> Path | None:
    """The folder with the user's own checkpoints and body files; None when none was chosen."""
    chosen = preferences()
    return Path(bpy.path.abspath(chosen.models)) if chosen and chosen.models.strip() else None
