# SPDX-License-Identifier: GPL-3.0-or-later
"""Alembic: the skins of a character as they are deformed, vertex by vertex, without bones."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import bpy
import numpy as np

from .importers import imported
from .options import TOLERANCE, ExportOptions, ExportProblem
from .read_back import Checked, ReadBackProblem, in_words, vertices_in_world
from .sampling import frame_range, scene_of
from .stand_in import in_scene
from .writers import run_exporter, write_alembic

_ROOM = 50_000_000
"""Bytes that must be left on the disk besides the places and normals of the vertices."""


def export_alembic(
    context: bpy.types.Context,
    armature: bpy.types.Object,
    meshes: Sequence[bpy.types.Object],
    file: Path,
    options: ExportOptions,
) -> tuple[tuple[int, int], float, Checked | None, list[str]]:
    """Write the skins to an Alembic file, and read it back.

    Returns:
        Frames, frames per second, what the check says, and notes.

    Raises:
        ExportProblem: there is no skin, or the exporter failed.
    """
    if not meshes:
        raise ExportProblem(
            f"{armature.name} deforms no mesh, and Alembic holds meshes alone. Choose another format."
        )
    user = context.scene
    frames = frame_range(user, armature, options)
    if frames[0] < 0:
        raise ExportProblem(
            f"The range begins at frame {frames[0]}, and a scene knows no frames before 0. Move the keys, or"
            " set a range of your own."
        )
    if frames[0] == frames[1]:  # Blender then writes the pose of the user's frame, whichever that is
        raise ExportProblem(
            f"The range is frame {frames[0]} alone, which Blender's Alembic exporter does not take. Choose"
            " more frames, or another format."
        )
    fps = user.render.fps / user.render.fps_base
    metres = 1.0 if user.unit_settings.system == "NONE" else user.unit_settings.scale_length
    unit = metres * (100.0 if options.centimetres else 1.0)
    _refuse_small_disk(file, meshes, frames)
    with scene_of([armature, *meshes], user, frames, armature.name) as scene:
        for thing in meshes:
            thing.select_set(True, view_layer=scene.view_layers[0])
        scene.frame_set(frames[0])
        with in_scene(context, scene, meshes[0]):
            run_exporter(write_alembic, scene, unit, file)
        if not options.check:
            return frames, fps, None, []
        off = _read_back(context, scene, meshes, file, frames, fps, unit, metres)
    count = frames[1] - frames[0] + 1
    return frames, fps, Checked(off, in_words(count, fps, off, "vertices")), []


def _refuse_small_disk(file: Path, meshes: Sequence[bpy.types.Object], frames: tuple[int, int]) -> None:
    """See that there is room for the file: Blender's Alembic exporter does not survive a full disk."""
    corners = sum(len(mesh.data.vertices) + len(mesh.data.loops) for mesh in meshes)
    needed = _ROOM + 12 * corners * (frames[1] - frames[0] + 1)
    free = shutil.disk_usage(file.parent).free
    if free < needed:
        raise ExportProblem(
            f"{file.name} may need {needed / 1e6:,.0f} MB, and the disk has {free / 1e6:,.0f} MB left. Make"
            " room, or choose another folder."
        )


def _read_back(
    context: bpy.types.Context,
    scene: bpy.types.Scene,
    meshes: Sequence[bpy.types.Object],
    file: Path,
    frames: tuple[int, int],
    fps: float,
    unit: float,
    metres: float,
) -> float:
    """How far a vertex of the file is off at most, metres.

    Raises:
        ReadBackProblem: it is more than it may be, or meshes or frames are missing.
    """
    with imported(context, file, "ALEMBIC", fps, frames[0]) as read:
        pairs = [(mesh, _same(read, mesh, file)) for mesh in meshes]
        worst, moves, before = 0.0, False, {}
        for frame in range(frames[0], frames[1] + 1):
            scene.frame_set(frame)
            read.frame_set(frame)
            for mesh, other in pairs:
                wanted = vertices_in_world(mesh, scene.view_layers[0].depsgraph)
                moves |= mesh.name in before and not np.array_equal(before[mesh.name], wanted)
                before[mesh.name] = wanted
                found = vertices_in_world(other, read.view_layers[0].depsgraph) / unit
                if found.shape != wanted.shape:
                    raise ReadBackProblem(
                        f"{file.name} holds {len(found)} vertices of {mesh.name} instead of {len(wanted)}, at"
                        f" frame {frame}."
                    )
                off = np.linalg.norm(found - wanted, axis=1) * metres
                if not off.max() <= TOLERANCE:
                    raise ReadBackProblem(
                        f"{file.name} does not read back: vertex {int(off.argmax())} of {mesh.name} is"
                        f" {1000 * off.max():.1f} mm off at frame {frame}."
                    )
                worst = max(worst, float(off.max()))
        # a file of what stands still has no range
        if moves and (read.frame_start, read.frame_end) != frames:
            raise ReadBackProblem(
                f"{file.name} reaches from frame {read.frame_start} to {read.frame_end} instead of"
                f" {frames[0]} to {frames[1]}."
            )
    return worst


def _same(read: bpy.types.Scene, mesh: bpy.types.Object, file: Path) -> bpy.types.Object:
    """The mesh of a file that is one of ours; Alembic's names have underscores for what it does not take."""
    plain = "".join(sign if sign.isalnum() else "_" for sign in mesh.name)
    for thing in read.objects:
        name = "".join(sign if sign.isalnum() else "_" for sign in thing.name)
        if thing.type == "MESH" and (name == plain or name.startswith(f"{plain}_")):
            return thing
    raise ReadBackProblem(f"{file.name} lacks the mesh {mesh.name}.")
