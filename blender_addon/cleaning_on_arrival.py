# SPDX-License-Identifier: GPL-3.0-or-later
"""Cleaning that the form asks for, right after the import and in the same undo step.

It is the cleaning of the panel *Clean Up* and as non-destructive: the recovered action stays as it is, and
the settings are there to be changed. A motion that cannot be cleaned stays as it was imported.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from .cleaning import CleaningProblem, action_in_use, clean, reason_against, show
from .compat import Placed


@dataclass(frozen=True)
class CleaningWishes:
    """What the form asks for. The defaults leave a motion as it was recovered.

    Attributes:
        smooth: strength in seconds, see `smoothing`; 0 does not smooth.
        keep_feet: keep planted feet planted under the smoothing.
        use_floor: set the soles on the floor, by one lift for all frames.
    """

    smooth: float = 0.0
    keep_feet: bool = True
    use_floor: bool = False

    def __bool__(self) -> bool:
        return self.smooth > 0 or self.use_floor


def clean_imported(
    armatures: Sequence[bpy.types.Object], wishes: CleaningWishes, fps: float
) -> tuple[str, ...]:
    """Clean imported armatures.

    Args:
        armatures: as they were imported. What else the user has set on one that was there before, stays.
        wishes: what to do.
        fps: frames per second of their scene.

    Returns:
        What the user should know, a sentence for each armature; nothing when nothing was asked for.
    """
    return tuple(_clean(armature, wishes, fps) for armature in armatures) if wishes else ()


def _clean(armature: bpy.types.Object, wishes: CleaningWishes, fps: float) -> str:
    if reason := reason_against(armature):
        return rpt_("{} was not cleaned: {}.").format(armature.name, rpt_(reason))
    settings = armature.recover_motion_cleaning
    if settings.source is None:  # never cleaned before: only what was asked for
        settings.use_thinning = False
    settings.smooth, settings.keep_feet = wishes.smooth, wishes.keep_feet
    settings.use_floor = wishes.use_floor
    used, cleaned = action_in_use(armature), settings.cleaned
    known = {action.session_uid for action in bpy.data.actions}
    try:
        done = clean(armature, fps)
    except CleaningProblem as problem:
        return rpt_("{} was not cleaned: {}").format(armature.name, problem)
    except Exception as error:  # noqa: BLE001 (a bug in the cleaning must not cost the imported motion)
        traceback.print_exc()
        _take_back(armature, used, cleaned, known)
        return rpt_("{} was imported as recovered; cleaning it failed: {}.").format(
            armature.name, repr(error)
        )
    said = rpt_('{} moves by "{}"; the recovered action is kept.').format(armature.name, done.action.name)
    if done.set_aside:
        said += rpt_(' Your edited keys are kept as "{}".').format(done.set_aside)
    return said


def _take_back(
    armature: bpy.types.Object, used: Placed | None, cleaned: bpy.types.Action | None, known: set[int]
) -> None:
    """Let the armature move by what it moved by, and remove what was made."""
    if used is not None:
        with suppress(Exception):
            show(armature, used.action)
    armature.recover_motion_cleaning.cleaned = cleaned
    bpy.data.batch_remove([action for action in bpy.data.actions if action.session_uid not in known])
