# SPDX-License-Identifier: GPL-3.0-or-later
"""Recover Motion: pick footage in Blender, click once, get a rigged and keyframed body.

The work is done by a program of its own, the backend (`fasthmr`), which this add-on starts and
talks to over pipes::

    panel -> operators -> session -> jobs -> backend_client  ~~ pipes ~~  fasthmr worker
                             |
                             +-> arrival -> import_motion (rig, mesh, action, camera)

`backend_client` and `jobs` know nothing of Blender; `session` polls them from Blender's main
thread; `arrival` is what happens in the scene when a job has its result.
"""

from importlib import import_module

# The modules are imported when the add-on is enabled, not when this package is imported, so that those
# which need only numpy and the standard library can also be used (and tested) without Blender.
_REGISTERED = (
    *("preferences", "properties", "operators", "panel", "confidence_view", "session", "command_line"),
    *("live_view", "escape_key"),
    *("person_pictures", "form_panel", "footage_operators"),
    *("setup_operators", "model_menus", "installation"),
    *("cleaning_properties", "cleaning_operators", "cleaning_panel"),
    *("retarget.properties", "retarget.list_operators", "retarget.preset_operators", "retarget.operators"),
    *("retarget.preview", "retarget.preview_operators", "retarget.batch_operators", "retarget.panel"),
    *("export.properties", "export.operators", "export.panel"),
)


def register() -> None:
    """Make the add-on's classes, properties, menu entry and command known to Blender."""
    for name in _REGISTERED:
        import_module(f".{name}", __package__).register()


def unregister() -> None:
    """Take everything back, last things first, and stop the backend with its children."""
    for name in reversed(_REGISTERED):
        import_module(f".{name}", __package__).unregister()
