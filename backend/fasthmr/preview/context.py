# SPDX-License-Identifier: Apache-2.0
"""OpenGL without a window: EGL on Linux (no display needed), the system's own way elsewhere."""

from __future__ import annotations

import sys

import moderngl

from fasthmr.errors import FastHMRError

_MINIMUM_VERSION = 330

_ADVICE = {
    "linux": "Install the EGL library and Mesa's drivers (they also draw without a graphics card): "
    "'apt install libegl1 libgl1 libgl1-mesa-dri' on Debian and Ubuntu, "
    "'dnf install libglvnd-egl libglvnd-opengl mesa-dri-drivers' on Fedora.",
    "win32": "Update the graphics driver; over Remote Desktop, log in at the machine itself.",
    "darwin": "Run it in the session of a logged-in user, not over ssh.",
}


def open_context() -> moderngl.Context:
    """A context for drawing off screen; the caller releases it.

    Raises:
        FastHMRError: there is no OpenGL 3.3; the message names what to install.
    """
    attempts = [{"backend": "egl"}, {}] if sys.platform.startswith("linux") else [{}]
    reasons: list[str] = []
    for options in attempts:
        try:
            return moderngl.create_context(standalone=True, require=_MINIMUM_VERSION, **options)
        # moderngl and its back ends raise bare Exception, each with a text of its own
        except Exception as error:  # noqa: BLE001
            reasons.append(str(error))
    platform = "linux" if sys.platform.startswith("linux") else sys.platform
    raise FastHMRError(
        f"The preview needs OpenGL 3.3, which cannot be started here ({'; '.join(reasons)}). "
        f"{_ADVICE.get(platform, 'Install an OpenGL driver.')} The motion files do not need it."
    )
