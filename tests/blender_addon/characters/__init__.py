# SPDX-License-Identifier: GPL-3.0-or-later
"""Characters to retarget to and motions to retarget, made from free parts.

`character(name, scene)` builds one of `CHARACTERS`: metres, z up, facing -y, soles at z = 0.
"""

from .registry import CHARACTERS, character
from .rig_from_arrays import Character, RigArrays

__all__ = ["CHARACTERS", "Character", "RigArrays", "character"]
