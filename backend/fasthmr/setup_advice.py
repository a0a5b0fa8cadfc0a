# SPDX-License-Identifier: Apache-2.0
"""What to do about an installation that lacks something: another thing for an artist than for a developer.

The backend is either a checkout, which ``build.py`` set up, or was installed by the extension in Blender.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parents[2]


def in_checkout() -> bool:
    """Whether this is a checkout, with ``build.py`` beside the backend."""
    return (_ROOT / "build.py").is_file() and (_ROOT / "backend/fasthmr").is_dir()


def install_again() -> str:
    """How to get what is missing, in one sentence."""
    if in_checkout():
        return f"Run `python build.py setup` in {_ROOT}."
    return "In Blender, open the preferences of Recover Motion, click Remove, and then Install Backend."
