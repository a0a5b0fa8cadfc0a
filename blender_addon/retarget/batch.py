# SPDX-License-Identifier: GPL-3.0-or-later
"""Many at once: one motion to many characters, or many motions to one.

Each is done for itself: one that fails is listed, and the others go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import bpy
from bpy.app.translations import pgettext_n as n_

from ..action import SLOT_NAME
from ..cleaning import MARK, action_in_use
from ..compat import NAME_BYTES, Placed
from ..provenance import KEY, identity
from . import retarget as core
from .chosen import reason_against
from .known_presets import mapping_of
from .mapping_list import armature_of
from .options import Options
from .problem import RetargetProblem


@dataclass(frozen=True)
class Motion:
    """A motion to take.

    Attributes:
        source: the recovered armature.
        placed: the action that is to move it; None for what moves it now.
        frames: first and last; None for all that it has.
    """

    source: bpy.types.Object
    placed: Placed | None = None
    frames: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """Its name, such as ``walk.person01``."""
        used = self.placed or action_in_use(self.source)
        return used.action.name if used else self.source.name


@dataclass(frozen=True)
class Done:
    """What came of one motion on one character.

    Attributes:
        target: name of the character.
        motion: name of the motion.
        result: None when it failed.
        problem: why it failed; empty when it did not.
    """

    target: str
    motion: str
    result: core.Retargeted | None = None
    problem: str = ""


def one_to_many(
    context: bpy.types.Context,
    motion: Motion,
    targets: Iterable[bpy.types.Object],
    options: Options,
) -> list[Done]:
    """Give one motion to several characters, each by its own list of bones, or else by detection."""
    return [_give(context, motion, target, options) for target in targets]


def many_to_one(
    context: bpy.types.Context,
    motions: Sequence[Motion],
    target: bpy.types.Object,
    options: Options,
    *,
    use_nla: bool = False,
) -> list[Done]:
    """Give several motions to one character: a new action each, of which the last one moves it then.

    Args:
        context: of the scene.
        motions: the motions.
        target: the character's armature.
        options: how.
        use_nla: put each into a track of its own; all but the last one are muted.
    """
    done = [_give(context, motion, target, options) for motion in motions]
    made = [one.result.action for one in done if one.result is not None]
    if use_nla and made:
        _stack(target, made)
    return done


def characters_in(things: Iterable[bpy.types.Object]) -> list[bpy.types.Object]:
    """The armatures that objects are, or that move them, but those of recovered bodies; each once."""
    armatures = dict.fromkeys(map(armature_of, things))
    return [one for one in armatures if one is not None and KEY not in one]


def bodies_in(things: Iterable[bpy.types.Object]) -> list[bpy.types.Object]:
    """The recovered armatures among objects and what moves them; each once."""
    armatures = dict.fromkeys(map(armature_of, things))
    return [one for one in armatures if one is not None and KEY in one]


def takes_of(source: bpy.types.Object, frames: tuple[int, int] | None = None) -> list[Motion]:
    """Every recovered action of the person that an armature is; where one was cleaned, the cleaned one."""
    person = identity(source[KEY].to_dict())
    takes = [
        action
        for action in bpy.data.actions
        if KEY in action and identity(action[KEY].to_dict()) == person and not action.name.endswith(".edited")
    ]
    cleaned = {action[MARK]["source"] for action in takes if MARK in action}
    return [
        Motion(source, Placed.in_slot(action, SLOT_NAME), frames)
        for action in takes
        if action.name not in cleaned
    ]


def summary(done: Sequence[Done]) -> str:
    """What came of it, in a few lines."""
    failed = [one for one in done if one.problem]
    lines = [f"{len(done) - len(failed)} of {len(done)} retargeted."]
    lines += [f"{one.motion} to {one.target}: {one.problem}" for one in failed]
    return "\n".join(lines)


def name_for(target: bpy.types.Object, motion: str) -> str:
    """Name of a motion's action on a character, cut where Blender would cut it."""
    room = NAME_BYTES - len(".000")
    return f"{target.name}.{motion}".encode()[:room].decode(errors="ignore")


def _give(
    context: bpy.types.Context,
    motion: Motion,
    target: bpy.types.Object,
    options: Options,
) -> Done:
    name = motion.name
    try:
        if motion.source == target:
            raise RetargetProblem(n_("Source and target are the same."))
        if reason := reason_against(target):
            raise RetargetProblem(f"{reason}.")
        bone_map = mapping_of(context.scene, target)
        with _MovedBy(motion):
            result = core.retarget(
                context,
                motion.source,
                target,
                bone_map,
                options,
                frames=motion.frames,
                name=name_for(target, name),
            )
    except RetargetProblem as problem:
        return Done(target.name, name, problem=str(problem))
    return Done(target.name, name, result)


class _MovedBy:
    """While it lasts, a source is moved by a motion's action."""

    def __init__(self, motion: Motion) -> None:
        self._motion = motion

    def __enter__(self) -> None:
        """Assign the action in the place of the one that is in use."""
        if self._motion.placed is None:
            return
        animation = self._motion.source.animation_data_create()
        self._before = Placed.on(animation)
        self._was_solo = [(track, track.mute) for track in animation.nla_tracks]
        for track in animation.nla_tracks:
            track.mute = True
        self._motion.placed.assign_to(animation)

    def __exit__(self, *_: object) -> None:
        """Assign what was there."""
        if self._motion.placed is None:
            return
        animation = self._motion.source.animation_data
        animation.action = None
        if self._before is not None:
            self._before.assign_to(animation)
        for track, mute in self._was_solo:
            track.mute = mute


def _stack(target: bpy.types.Object, actions: Sequence[bpy.types.Action]) -> None:
    """Put actions into tracks of their own, of which the last one plays."""
    animation = target.animation_data
    placed = Placed.on(animation)
    animation.action = None
    for action in actions:
        track = animation.nla_tracks.new()
        track.name = action.name
        first, _ = action.curve_frame_range
        strip = track.strips.new(action.name, int(first), action)
        if placed.slot is not None:
            Placed.with_identifier(action, placed.slot.identifier).assign_to(strip)
        track.mute = action != actions[-1]
