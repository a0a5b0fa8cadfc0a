# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender -b FILE.blend --command recover_motion export`: characters to files, without a window.

    blender -b SHOT.blend --command recover_motion export --format fbx --preset unreal --out FOLDER
    blender -b SHOT.blend --command recover_motion export --character Hero --format glb --out hero.glb

Exit codes, report and standard output are as those of the other commands, see docs/headless.md; what came of
each character is in the report's `clips`, with the exported file in `people`.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

import bpy

from ..headless_record import Outcome, Person, Report
from ..headless_recover import BatchProblem
from .character import export_character
from .chosen import character_of, files_in, is_animated
from .options import SUFFIXES, ExportOptions, ExportProblem, Format

Tell = Callable[[str], None]

_FORMATS: Final[dict[str, Format]] = {
    "fbx": "FBX",
    "bvh": "BVH",
    "glb": "GLB",
    "gltf": "GLTF",
    "usd": "USD",
    "alembic": "ALEMBIC",
    "npz": "AMASS",
    "smpl": "SMPL",
}


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument(
        "--character", nargs="+", metavar="NAME", help="armatures, or their skins (all that have motion)"
    )
    command.add_argument("--format", choices=tuple(_FORMATS), required=True, help="kind of file")
    command.add_argument(
        "--preset", choices=("unreal", "unity", "maya"), default="unreal", help="of FBX: for whom (unreal)"
    )
    command.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER|FILE", help="folder; or the file of one character"
    )
    command.add_argument("--frames", choices=("action", "scene"), default="action", help="range (action)")
    command.add_argument("--start", type=int, metavar="FRAME", help="first frame of the scene")
    command.add_argument("--end", type=int, metavar="FRAME", help="last frame of the scene")
    command.add_argument("--deform-only", action="store_true", help="leave out the controls of a rig")
    command.add_argument("--no-meshes", action="store_true", help="bones alone")
    command.add_argument(
        "--centimetres", action="store_true", help="of BVH and Alembic, which do not tell their unit"
    )
    command.add_argument("--body", type=Path, metavar="FILE", help="of npz and smpl: the body (open body)")
    command.add_argument("--no-check", action="store_true", help="do not read the files back")
    command.add_argument("--json", type=Path, metavar="FILE", help="write a report for machines")


def run(options: argparse.Namespace, report: Report, tell: Tell) -> None:
    """Export, and note in the report what came of each character.

    Raises:
        BatchProblem: the call does not make sense.
    """
    characters = _characters(options)
    kind = _FORMATS[options.format]
    files = _files(options, characters, kind)
    report.clips = [Outcome("") for _ in characters]
    for armature, file, outcome in zip(characters, files, report.clips, strict=True):
        _export(options, armature, file, kind, outcome, tell)
        report.write()


def _characters(options: argparse.Namespace) -> list[bpy.types.Object]:
    if not bpy.data.filepath:
        raise BatchProblem(
            "There is no scene: let Blender open one (blender -b SCENE.blend --command recover_motion export"
            " …).",
            2,
        )
    things = bpy.context.scene.objects
    armatures = [thing for thing in things if thing.type == "ARMATURE"]
    there = ", ".join(one.name for one in armatures) or "none"
    if not options.character:
        moved = [one for one in armatures if is_animated(one)]
        if not moved:
            raise BatchProblem(f"No armature of the scene has motion. Its armatures: {there}.", 3)
        return moved
    found = []
    for name in options.character:
        armature = character_of(things.get(name))
        if armature is None or armature.type != "ARMATURE":
            raise BatchProblem(f"There is no character {name} in the scene. Its armatures: {there}.", 2)
        found.append(armature)
    return list(dict.fromkeys(found))


def _files(options: argparse.Namespace, characters: list[bpy.types.Object], kind: Format) -> list[Path]:
    out = options.out.absolute()
    if out.suffix.lower() not in SUFFIXES[kind] or out.is_dir():
        return files_in(out, characters, kind)
    if len(characters) > 1:
        names = ", ".join(one.name for one in characters)
        raise BatchProblem(
            f"--out names one file, but there are {len(characters)} characters ({names}): give a folder, or"
            " choose one with --character.",
            2,
        )
    return [out]


def _export(
    options: argparse.Namespace,
    armature: bpy.types.Object,
    file: Path,
    kind: Format,
    outcome: Outcome,
    tell: Tell,
) -> None:
    started = time.monotonic()
    try:
        exported = export_character(bpy.context, armature, file, kind, _options(options, armature))
        outcome.status, outcome.message, outcome.notes = "done", str(exported), list(exported.notes)
        outcome.people = [Person(armature.name, str(exported.file), *exported.frames)]
        for note in outcome.notes:
            tell(note)
        tell(outcome.message)
        sys.stdout.write(f"{exported.file}\n")
        sys.stdout.flush()
    except ExportProblem as problem:
        outcome.status, outcome.exit_code, outcome.message = "failed", 3, str(problem)
        tell(outcome.message)
    except KeyboardInterrupt:
        outcome.status, outcome.exit_code, outcome.message = "cancelled", 130, "Cancelled."
        raise
    except Exception:  # noqa: BLE001 (the other characters are exported all the same)
        outcome.status, outcome.exit_code, outcome.message = "failed", 1, traceback.format_exc()
        tell(outcome.message)
    outcome.seconds = round(time.monotonic() - started, 2)


def _options(options: argparse.Namespace, armature: bpy.types.Object) -> ExportOptions:
    own = options.start is not None or options.end is not None
    scene = bpy.context.scene
    usual = (scene.frame_start, scene.frame_end)
    animation = armature.animation_data
    if options.frames == "action" and animation is not None and animation.action is not None:
        usual = tuple(int(frame) for frame in animation.action.frame_range)
    return ExportOptions(
        preset=options.preset.upper(),
        frames="OWN" if own else options.frames.upper(),
        start=usual[0] if options.start is None else options.start,
        end=usual[1] if options.end is None else options.end,
        deform_only=options.deform_only,
        meshes=not options.no_meshes,
        centimetres=options.centimetres,
        check=not options.no_check,
        body=options.body.absolute() if options.body else None,
    )
