# SPDX-License-Identifier: GPL-3.0-or-later
"""An animated character to a file."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np

from . import smpl_export
from .alembic import export_alembic
from .exporter_addons import exporter_of
from .in_place import folder_beside, keep_failed, move_into_place
from .options import SUFFIXES, Exported, ExportOptions, ExportProblem, Format
from .read_back import Checked, Expected, ReadBackProblem, box_of, read_back
from .sampling import Sampled, sample
from .skins import skins_of
from .stand_in import StandIn, stand_in
from .windows import windows_kept
from .writers import name_in_file, placement_of, why_not_written, write


def export_character(
    context: bpy.types.Context,
    armature: bpy.types.Object,
    path: str | Path,
    kind: Format,
    options: ExportOptions | None = None,
) -> Exported:
    """Export an armature with its motion and its skins; all of it, or nothing at all.

    Nothing in the user's scene changes. The file is written beside its place, read back and compared, and
    only then put where an earlier one may be. One that does not read back is kept in a folder
    `<name>.failed-check`.

    Args:
        context: its scene is used; a window is not needed.
        armature: an armature object with an action.
        path: the file; gets the format's ending when it has another.
        kind: the format.
        options: how; as usual by default.

    Raises:
        ExportProblem: it cannot be exported; the message is meant for the user.
    """
    options = options or ExportOptions()
    path = with_suffix(Path(path), kind).absolute()
    _refuse(context, armature)
    try:
        with windows_kept(context), folder_beside(path) as folder:
            file = folder / path.name
            try:
                frames, fps, checked, notes = _write_checked(context, armature, file, kind, options)
            except ReadBackProblem as problem:
                kept = keep_failed(folder, path)
                raise ExportProblem(f"{problem} It is kept in {kept.name}.") from problem
            others = move_into_place(folder, path)
    except OSError as error:
        raise ExportProblem(why_not_written(path, error)) from error
    return Exported(
        path,
        others,
        frames,
        fps,
        checked.says if checked else "",
        checked.off if checked else None,
        tuple(notes),
    )


def with_suffix(path: Path, kind: Format) -> Path:
    """A path with an ending of the format."""
    if path.suffix.lower() in SUFFIXES[kind]:
        return path
    known = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes}
    return (path.with_suffix("") if path.suffix.lower() in known else path).with_name(
        (path.stem if path.suffix.lower() in known else path.name) + SUFFIXES[kind][0]
    )


def _refuse(context: bpy.types.Context, armature: bpy.types.Object) -> None:
    if armature is None or armature.type != "ARMATURE":
        name = armature.name if armature is not None else "Nothing"
        raise ExportProblem(f"{name} is no armature. Choose the character's armature.")
    if not armature.data.bones:
        raise ExportProblem(f"{armature.name} has no bones: there is nothing to export.")
    editing = [thing.name for thing in context.scene.objects if thing.mode not in ("OBJECT", "POSE")]
    if editing:
        raise ExportProblem(
            f"{editing[0]} is being edited or painted, and the exporter would not see it as it is. Go back to"
            " Object Mode or Pose Mode."
        )


def _write_checked(
    context: bpy.types.Context,
    armature: bpy.types.Object,
    file: Path,
    kind: Format,
    options: ExportOptions,
) -> tuple[tuple[int, int], float, Checked | None, list[str]]:
    """Write a character to a file and read it back; gives frames, rate, what the check says, and notes."""
    scene = context.scene
    meshes = skins_of(scene, armature) if options.meshes or kind == "ALEMBIC" else []
    if kind == "BVH":
        meshes = []
    if kind == "ALEMBIC":
        with exporter_of(kind):
            return export_alembic(context, armature, meshes, file, options)
    sampled = sample(scene, armature, meshes, options)
    if kind in ("AMASS", "SMPL"):
        checked, notes = smpl_export.export_smpl_motion(context, armature, sampled, file, kind, options)
        return sampled.range, sampled.fps, checked, notes
    if sampled.range[0] < 0:
        raise ExportProblem(
            f"The range begins at frame {sampled.range[0]}; Blender's exporters know no frames before 0. Move"
            " the keys, or set a range of your own."
        )
    placement = placement_of(kind, options, sampled.metres)
    name = name_in_file(kind, options, armature)
    with (
        exporter_of(kind),
        stand_in(
            context,
            armature,
            meshes,
            sampled,
            placement,
            deform_only=options.deform_only,
            scaled=kind != "BVH",  # which has none
            half=kind == "USD",  # which keeps them so
            name=name,
        ) as figure,
    ):
        write(context, figure, kind, options, file)
        expected = _expected(figure, sampled, placement)
        if not options.check:
            return sampled.range, sampled.fps, None, []
    with exporter_of(kind):
        checked = read_back(context, file, kind, expected)
    return sampled.range, sampled.fps, checked, []


def _expected(figure: StandIn, sampled: Sampled, placement) -> Expected:
    """What must be in a file: joints as they were seen, and the skins' box as the stand-in has it."""
    where = {name: index for index, name in enumerate(sampled.names)}
    boxes = None
    if figure.meshes:
        boxes = []
        for frame in sampled.range:
            figure.scene.frame_set(frame)
            boxes.append(box_of(figure.meshes, figure.scene.view_layers[0].depsgraph))
        # back from the stand-in's units and axes; a quarter turn leaves a box a box
        turned = np.array(boxes) @ placement.axes / placement.unit * sampled.metres
        boxes = np.sort(turned, axis=1)
    return Expected(
        sampled.frames,
        sampled.fps,
        figure.bones,
        sampled.heads[:, [where[name] for name in figure.bones]],
        len(figure.meshes),
        boxes,
    )
