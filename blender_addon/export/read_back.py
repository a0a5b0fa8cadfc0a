# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of an exported file: read it as another program would, and see whether all is in its place.

Compared are the joints in the world at every frame, in metres, the frame rate and the range, and that the
skins came along and move with the bones. Bones' axes are not: every format has its own idea of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ..compat import curves_of
from ..edit_mode import edit_mode
from ..mesh import rig_of
from .importers import gltf_times, imported
from .options import TOLERANCE, ExportProblem, Format
from .stand_in import in_scene
from .usd_rate import usd_rate

_SKIN = 0.02
"""How far the box around the skins may be off, metres: glTF tells four weights a vertex."""

_SAME_RATE = 1e-4
"""Frame rates that differ by a smaller share are one; BVH writes the time of a frame with six decimals."""

_SAME_TIME = 0.02
"""Frames that a key may lie beside its place, as times are rounded."""


class ReadBackProblem(ExportProblem):
    """The file does not hold what was exported."""


@dataclass(frozen=True)
class Expected:
    """What must be in the file.

    Attributes:
        frames: (F,) scene frames.
        fps: frames per second.
        names: of the B bones.
        heads: (F, B, 3) in the world, metres.
        skins: how many meshes there are.
        boxes: (2, 2, 3) lowest and highest corner of the box around them, at the first and the last frame.
    """

    frames: np.ndarray
    fps: float
    names: tuple[str, ...]
    heads: np.ndarray
    skins: int = 0
    boxes: np.ndarray | None = None


@dataclass(frozen=True)
class Checked:
    """What reading back has shown.

    Attributes:
        off: metres that a joint or vertex was off at most.
        says: the same in words.
    """

    off: float
    says: str


def read_back(context: bpy.types.Context, path: Path, kind: Format, expected: Expected) -> Checked:
    """Read an exported file into a scene of its own, and compare.

    Raises:
        ReadBackProblem: it is not what was exported; the message says where it differs.
    """
    with imported(context, path, kind, expected.fps, int(expected.frames[0])) as scene:
        armature = _armature(scene, path)
        _disconnect(context, scene, armature)
        bones = _bones(armature, expected, path)
        times = _times(scene, armature, kind, path, expected)
        skins = [thing for thing in scene.objects if thing.type == "MESH" and rig_of(thing) == armature]
        if len(skins) < expected.skins and kind != "BVH":
            raise ReadBackProblem(
                f"{path.name} holds {len(skins)} skinned meshes instead of {expected.skins}."
            )
        if expected.boxes is not None and kind != "BVH":
            _compare_boxes(scene, skins, times, expected, path)
        for thing in [thing for thing in scene.objects if thing.type != "ARMATURE"]:
            scene.collection.objects.unlink(thing) if thing.name in scene.collection.objects else None
        off = _compare_heads(scene, armature, bones, times, expected, path)
    return Checked(off, in_words(len(expected.frames), expected.fps, off, "joints"))


def in_words(count: int, fps: float, off: float, what: str) -> str:
    """What a check that went well says."""
    frames = "1 frame" if count == 1 else f"{count} frames"
    return f"{frames} at {fps:.5g} fps read back, {what} within {_millimetres(off)}"


def _millimetres(metres: float) -> str:
    return f"{max(1000 * metres, 0.01):.2f} mm"


def _armature(scene: bpy.types.Scene, path: Path) -> bpy.types.Object:
    found = [thing for thing in scene.objects if thing.type == "ARMATURE"]
    if not found:
        raise ReadBackProblem(f"{path.name} holds no skeleton.")
    return max(found, key=lambda thing: len(thing.data.bones))


def _disconnect(context: bpy.types.Context, scene: bpy.types.Scene, armature: bpy.types.Object) -> None:
    """Let every bone move as the file says.

    Blender's FBX importer connects bones that touch at rest; those that move out of their sockets then stay.
    """
    if any(bone.use_connect for bone in armature.data.bones):
        with in_scene(context, scene, armature), edit_mode(bpy.context, armature):
            for bone in armature.data.edit_bones:
                bone.use_connect = False


def _bones(armature: bpy.types.Object, expected: Expected, path: Path) -> list[int]:
    """For each bone that was exported, its place among those that were read."""
    read = {_plain(bone.name): index for index, bone in enumerate(armature.data.bones)}
    lost = [name for name in expected.names if _plain(name) not in read]
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise ReadBackProblem(f"{path.name} lacks the bone {lost[0]}{more}.")
    return [read[_plain(name)] for name in expected.names]


def _plain(name: str) -> str:
    """A bone's name as all formats can hold it: USD has only letters, digits and underscores."""
    return re.sub(r"\W", "_", name)


def _times(
    scene: bpy.types.Scene, armature: bpy.types.Object, kind: Format, path: Path, expected: Expected
) -> np.ndarray:
    """The imported scene's frames (F,) at which the exported frames are, with rate and range checked."""
    count, fps = len(expected.frames), expected.fps
    keyed = [_key_frames(curve) for curve in curves_of(armature) if len(curve.keyframe_points)]
    times = np.unique(np.round(np.concatenate(keyed), 3)) if keyed else np.zeros(0)
    stands_still = np.ptp(expected.heads, axis=0).max() < TOLERANCE
    if kind == "USD" and not len(times) and stands_still:  # Blender then reads a pose without keys
        times = expected.frames.astype(np.float64)
    if len(times) != count:
        raise ReadBackProblem(f"{path.name} holds {len(times)} frames instead of {count}.")
    rate = _rate(scene, kind, path, expected)
    if abs(rate - fps) > _SAME_RATE * fps:
        raise ReadBackProblem(f"{path.name} has {rate:.6g} frames per second instead of {fps:.6g}.")
    # Blender's FBX importer lays keys over the whole number of frames per second: 30 for 29.97
    stretch = scene.render.fps / fps if kind == "FBX" else 1.0
    if kind not in ("GLB", "GLTF") and np.abs(times - expected.frames * stretch).max() > _SAME_TIME:
        raise ReadBackProblem(
            f"{path.name} reaches from frame {times[0] / stretch:g} to {times[-1] / stretch:g} instead of"
            f" {expected.frames[0]} to {expected.frames[-1]}."
        )
    return times


def _rate(scene: bpy.types.Scene, kind: Format, path: Path, expected: Expected) -> float:
    """The frames per second that a file tells, or that its times come to."""
    if kind == "USD":
        try:
            return usd_rate(path)
        except ValueError as error:
            raise ReadBackProblem(f"{path.name} has no frame rate that can be read: {error}.") from error
    if kind not in ("GLB", "GLTF"):
        return scene.render.fps / scene.render.fps_base
    seconds = gltf_times(path)
    if len(seconds) != len(expected.frames):
        return 0.0
    return expected.fps if len(seconds) == 1 else (len(seconds) - 1) / float(seconds[-1] - seconds[0])


def _key_frames(curve: bpy.types.FCurve) -> np.ndarray:
    keys = np.empty(2 * len(curve.keyframe_points), np.float32)
    curve.keyframe_points.foreach_get("co", keys)
    return keys[::2].astype(np.float64)


def _go_to(scene: bpy.types.Scene, time: float) -> bpy.types.Depsgraph:
    whole = int(np.floor(time + 5e-4))
    scene.frame_set(whole, subframe=max(time - whole, 0.0))
    return scene.view_layers[0].depsgraph


def _compare_heads(
    scene: bpy.types.Scene,
    armature: bpy.types.Object,
    bones: list[int],
    times: np.ndarray,
    expected: Expected,
    path: Path,
) -> float:
    """How far a joint is off at most, metres."""
    columns = np.empty(16 * len(armature.data.bones), np.float32)
    worst = 0.0
    for index, time in enumerate(times.tolist()):
        posed = armature.evaluated_get(_go_to(scene, time))
        posed.pose.bones.foreach_get("matrix", columns)
        heads = columns.reshape(-1, 4, 4)[bones, 3, :3]
        world = np.array(posed.matrix_world)
        off = np.linalg.norm(heads @ world[:3, :3].T + world[:3, 3] - expected.heads[index], axis=1)
        if not off.max() <= TOLERANCE:  # also when it is no number
            joint = int(np.nanargmax(off)) if np.isfinite(off).any() else 0
            raise ReadBackProblem(
                f"{path.name} does not read back: {expected.names[joint]} is {1000 * off[joint]:.1f} mm off"
                f" at frame {expected.frames[index]}."
            )
        worst = max(worst, float(off.max()))
    return worst


def _compare_boxes(
    scene: bpy.types.Scene,
    skins: list[bpy.types.Object],
    times: np.ndarray,
    expected: Expected,
    path: Path,
) -> None:
    for index, time in enumerate((times[0], times[-1])):
        box = box_of(skins, _go_to(scene, float(time)))
        off = np.abs(box - expected.boxes[index]).max()
        if not off <= _SKIN:
            frame = expected.frames[-index]
            raise ReadBackProblem(
                f"{path.name} does not read back: the skin reaches {1000 * off:.0f} mm too far or not far"
                f" enough at frame {frame}."
            )


def box_of(skins: list[bpy.types.Object] | tuple[bpy.types.Object, ...], graph: object) -> np.ndarray:
    """Lowest and highest corner (2, 3) of the box around meshes in the world, as a depsgraph shows them."""
    lowest, highest = [], []
    for thing in skins:
        points = vertices_in_world(thing, graph)
        lowest.append(points.min(axis=0))
        highest.append(points.max(axis=0))
    return np.array([np.min(lowest, axis=0), np.max(highest, axis=0)])


def vertices_in_world(thing: bpy.types.Object, graph: object) -> np.ndarray:
    """The vertices (V, 3) of a mesh in the world, as a depsgraph shows it."""
    shown = thing.evaluated_get(graph)
    mesh = shown.data
    points = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", points)
    world = np.array(shown.matrix_world)
    return points.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3]
