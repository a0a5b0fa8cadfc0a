# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender --command recover_motion retarget`: recovered motion onto a character, without a window.

    blender -b SHOT.blend --command recover_motion retarget --target Hero
    blender -b --command recover_motion retarget --motion FILE... --target-file HERO.blend --out FOLDER

Exit codes, report and standard output are as those of the other commands, see docs/headless.md.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import bpy

from ..array_file import ImportProblem
from ..cleaning import action_in_use
from ..cleaning_on_arrival import CleaningWishes
from ..headless_record import Outcome, Person, Report
from ..headless_recover import BatchProblem
from ..headless_scene import Choices, SaveProblem, Scenes, bring_in, save
from .batch import Done, Motion, many_to_one
from .character_file import append_character
from .chosen import options_of, problem_of_source, recovered_in, source_of
from .known_presets import fill_from, fill_from_file
from .mapping_list import armature_of
from .problem import RetargetProblem

Tell = Callable[[str], None]

_SETTINGS = ("root", "feet", "scale", "in_place", "heights", "place", "alignment", "floor", "every")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of the command; those that are left out are as the scene has them."""
    command.add_argument("--source", metavar="NAME", help="armature of the recovered body (the only one)")
    command.add_argument("--target", metavar="NAME", help="armature of the character, or its skin")
    command.add_argument("--target-file", type=Path, metavar="FILE", help=".blend with the character")
    command.add_argument(
        "--motion", type=Path, nargs="+", metavar="FILE", help="motion files (.npz) to import first"
    )
    command.add_argument("--preset", metavar="NAME|FILE", help="kind of rig, or a preset file (detected)")
    command.add_argument("--root", choices=("pelvis", "bone", "object"), help="what travels (pelvis)")
    command.add_argument(
        "--feet", choices=("automatic", "always", "floor", "off"), help="which feet are held (automatic)"
    )
    command.add_argument("--floor", type=float, metavar="METRES", help="height of the floor (0)")
    command.add_argument("--scale", type=_scale, metavar="legs|none|FACTOR", help="scale of the way (legs)")
    command.add_argument("--in-place", choices=("off", "trend", "full"), help="take out travel (off)")
    command.add_argument("--heights", choices=("scaled", "kept"), help="how far the pelvis rises (scaled)")
    command.add_argument("--place", choices=("source", "target"), help="where the motion starts (source)")
    command.add_argument(
        "--alignment",
        choices=("directions", "rest", "pose"),
        help="how rest poses are brought together (directions)",
    )
    command.add_argument("--no-twists", action="store_true", help="leave twist bones as they are")
    command.add_argument("--no-ik", action="store_true", help="leave IK controls as they are")
    command.add_argument("--every", type=_count, metavar="FRAMES", help="frames from key to key (1)")
    command.add_argument("--start", type=int, metavar="FRAME", help="first frame of the scene to take")
    command.add_argument("--end", type=int, metavar="FRAME", help="last frame of the scene to take")
    command.add_argument(
        "--smooth", type=_seconds, default=0.0, metavar="SECONDS", help="with --motion: smooth it first (0)"
    )
    command.add_argument(
        "--use-nla", action="store_true", help="with --motion: an NLA track for each (the last one plays)"
    )
    command.add_argument(
        "--out",
        type=Path,
        metavar="FILE.blend|FOLDER",
        help="where to save: one file for all motions, or a folder with a file a motion (beside the input)",
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write a report for machines")


def run(options: argparse.Namespace, report: Report, tell: Tell) -> None:
    """Do it, and note in the report what came of each motion.

    Raises:
        BatchProblem: the call does not make sense.
    """
    _check(options)
    if not options.motion:
        outcome = Outcome("")
        report.clips = [outcome]
        with _Noting(outcome, tell):
            target = _target(options)
            motion = Motion(_source(options))
            _retarget(options, [motion], target, [outcome], tell)
            _save(_out(options, Path(bpy.data.filepath), target), [outcome])
        return
    report.clips = [Outcome(str(path.absolute())) for path in options.motion]
    if _is_blend(options.out):
        _into_one(options, report.clips, tell)
    else:
        for outcome in report.clips:
            _into_its_own(options, outcome, tell, Scenes())


def _into_its_own(options: argparse.Namespace, outcome: Outcome, tell: Tell, scenes: Scenes) -> None:
    """One motion, in a .blend of its own."""
    with _Noting(outcome, tell):
        source = _import(options, outcome, scenes)
        target = _target(options)
        _retarget(options, [Motion(source)], target, [outcome], tell)
        _save(_out(options, Path(outcome.footage), target), [outcome])


def _into_one(options: argparse.Namespace, outcomes: list[Outcome], tell: Tell) -> None:
    """All motions onto one character, in one .blend: an action each."""
    scenes, sources = _OneScene(), []
    for outcome in outcomes:
        with _Noting(outcome, tell):
            sources.append((outcome, _import(options, outcome, scenes)))
    if not sources:
        return
    brought = [outcome for outcome, _ in sources]
    with _Noting(brought[0], tell, *brought[1:]):
        target = _target(options)
        _retarget(options, [Motion(source) for _, source in sources], target, brought, tell)
        if done := [outcome for outcome in brought if outcome.status == "done"]:
            _save(options.out, done)


class _OneScene(Scenes):
    """The same scene for all motions."""

    _entered = False

    def enter(self, frame_rate: float) -> None:
        """Make the scene, the first time."""
        if not self._entered:
            super().enter(frame_rate)
        self._entered = True


class _Noting:
    """Writes into outcomes what a block ran into, and goes on after it."""

    def __init__(self, outcome: Outcome, tell: Tell, *others: Outcome) -> None:
        self._outcomes = [outcome, *others]
        self._tell = tell
        self._started = time.monotonic()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> bool:
        """Note the time and the problem; only what ends the whole run goes on."""
        for outcome in self._outcomes:
            outcome.seconds = round(outcome.seconds + time.monotonic() - self._started, 2)
        if error is None:
            return False
        if isinstance(error, BatchProblem):
            self._fail("failed", error.exit_code, str(error))
            return True
        if isinstance(error, RetargetProblem | ImportProblem | SaveProblem):
            self._fail("failed", 3, str(error))
            return True
        if isinstance(error, Exception):
            self._fail("failed", 1, "".join(traceback.format_exception(error)))
            return True
        self._fail("cancelled", 130, "Cancelled.")
        return False

    def _fail(self, status: str, code: int, message: str) -> None:
        for outcome in self._outcomes:
            if outcome.status == "failed":
                continue  # for a reason of its own
            outcome.status, outcome.exit_code, outcome.message = status, code, message
        self._tell(message)


# --- the steps


def _check(options: argparse.Namespace) -> None:
    if not options.target and not options.target_file:
        raise BatchProblem("Name the character: --target NAME, or --target-file FILE.blend.", 2)
    if not options.motion and not bpy.data.filepath:
        raise BatchProblem(
            "There is no recovered body: let Blender open a scene with one (blender -b SCENE.blend --command"
            " …), or name motion files with --motion.",
            2,
        )
    if options.motion and options.source:
        raise BatchProblem("--source names a body of the scene, --motion brings one in: use one of them.", 2)
    if options.target and not options.target_file and options.motion and not bpy.data.filepath:
        raise BatchProblem(
            f"There is no {options.target} in an empty scene: let Blender open the character's file, or give"
            " it as --target-file.",
            2,
        )


def _import(options: argparse.Namespace, outcome: Outcome, scenes: Scenes) -> bpy.types.Object:
    choices = Choices(use_camera=False, cleaning=CleaningWishes(options.smooth))
    bring_in(scenes, [Path(outcome.footage)], choices, outcome)
    return bpy.data.objects[outcome.people[0].name]


def _source(options: argparse.Namespace) -> bpy.types.Object:
    """The recovered armature of the opened scene."""
    scene = bpy.context.scene
    if options.source:
        scene.recover_motion_retarget.source = _named(options.source)
    if problem := problem_of_source(bpy.context):
        bodies = ", ".join(one.name for one in recovered_in(scene))
        raise RetargetProblem(f"{problem}{f' (--source {bodies})' if bodies else ''}.")
    return source_of(bpy.context)


def _target(options: argparse.Namespace) -> bpy.types.Object:
    """The character: out of its file, or of the scene."""
    if options.target_file:
        target = append_character(bpy.context.scene, options.target_file, options.target or "")
        bpy.context.view_layer.update()
        return target
    target = armature_of(_named(options.target))
    if target is None:
        raise RetargetProblem(f"{options.target} is no armature, and no armature moves it.")
    return target


def _named(name: str) -> bpy.types.Object:
    thing = bpy.context.scene.objects.get(name)
    if thing is None:
        there = ", ".join(one.name for one in bpy.context.scene.objects if one.type == "ARMATURE")
        raise RetargetProblem(f"There is no {name} in the scene. Its armatures: {there or 'none'}.")
    return thing


def _retarget(
    options: argparse.Namespace,
    motions: list[Motion],
    target: bpy.types.Object,
    outcomes: list[Outcome],
    tell: Tell,
) -> None:
    """Give the motions to the character, and write into the outcomes what came of each."""
    scene = bpy.context.scene
    settings = scene.recover_motion_retarget
    settings.target = target
    _apply(options, settings)
    if options.preset:
        file = Path(options.preset)
        if file.suffix.lower() == ".json":
            fill_from_file(scene, target, file)
        else:
            fill_from(scene, target, options.preset)
    motions = [replace(motion, frames=_frames(options, motion)) for motion in motions]
    done = many_to_one(bpy.context, motions, target, options_of(settings), use_nla=options.use_nla)
    for outcome, one in zip(outcomes, done, strict=True):
        _note(outcome, one, tell)


def _apply(options: argparse.Namespace, settings: bpy.types.PropertyGroup) -> None:
    """Write the options that were given into the scene's settings, so that they are saved with it."""
    for name in _SETTINGS:
        value = getattr(options, name)
        if isinstance(value, float) and name == "scale":
            settings.scale, settings.factor = "FACTOR", value
        elif value is not None:
            setattr(settings, name, value.upper() if isinstance(value, str) else value)
    settings.twists = settings.twists and not options.no_twists
    settings.ik = settings.ik and not options.no_ik


def _frames(options: argparse.Namespace, motion: Motion) -> tuple[int, int] | None:
    """The frames that were asked for; the motion's own ends stand for one that was left out."""
    if options.start is None and options.end is None:
        return None
    used = action_in_use(motion.source)
    first, last = used.action.curve_frame_range if used else (0, 0)
    start = int(first) if options.start is None else options.start
    end = int(last) if options.end is None else options.end
    if end < start:
        raise BatchProblem(f"The frames from {start} to {end} are none: --end is before --start.", 2)
    return start, end


def _note(outcome: Outcome, done: Done, tell: Tell) -> None:
    if done.result is None:
        outcome.status, outcome.exit_code, outcome.message = "failed", 3, done.problem
        tell(f"{done.motion} to {done.target}: {done.problem}")
        return
    first, last = done.result.frame_range
    outcome.status = "done"
    outcome.message = f'{done.target} moves by "{done.result.action.name}", frames {first} to {last}.'
    outcome.notes += done.result.notes
    outcome.people = [Person(done.target, outcome.footage, int(first), int(last))]
    for note in done.result.notes:
        tell(note)


def _out(options: argparse.Namespace, beside: Path, target: bpy.types.Object) -> Path:
    """Where to save one motion's scene."""
    if _is_blend(options.out):
        return options.out
    name = f"{beside.stem}.{bpy.path.clean_name(target.name)}.blend"
    return (options.out or beside.parent) / name


def _is_blend(path: Path | None) -> bool:
    return path is not None and path.suffix.lower() == ".blend"


def _save(path: Path, outcomes: list[Outcome]) -> None:
    """Save the scene of those motions that came through."""
    done = [outcome for outcome in outcomes if outcome.status == "done"]
    if not done:
        return
    saved = str(save(path))
    for outcome in done:
        outcome.blend = saved
    sys.stdout.write(f"{saved}\n")
    sys.stdout.flush()


def _scale(text: str) -> float | str:
    """The way's scale: a word, or a number above 0."""
    if text.lower() in ("legs", "none"):
        return text.lower()
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1000.0:
        raise argparse.ArgumentTypeError(f"{text} is neither legs nor none, nor a number above 0")
    return value


def _seconds(text: str) -> float:
    """The strength of smoothing, as the panel allows it."""
    value = float(text)
    if not 0.0 <= value <= 10.0:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 10")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of frames")
    return value
