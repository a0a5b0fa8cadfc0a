# SPDX-License-Identifier: GPL-3.0-or-later
"""Exported files read into a scene of their own, of which nothing is left afterwards."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import bpy
import numpy as np

from ..compat import GLTF_INTO_SCENE
from .options import ExportProblem, Format
from .windows import showing
from .writers import last_word


@contextmanager
def imported(
    context: bpy.types.Context, path: Path, kind: Format, fps: float, first: int
) -> Iterator[bpy.types.Scene]:
    """A scene with what a file holds; everything that came with it is gone after the block.

    Args:
        context: a window is not needed.
        path: the file.
        kind: its format.
        fps: frames per second of the scene, where the format does not set them.
        first: frame of a file's beginning, where the format does not tell it.

    Raises:
        ExportProblem: Blender cannot read it.
    """
    with removed_afterwards():
        scene = bpy.data.scenes.new("recover_motion.read_back")
        if kind in ("FBX", "BVH"):
            scene.render.fps = 7  # which no file has: the importer takes the file's
        else:
            scene.render.fps = max(round(fps), 1)
            scene.render.fps_base = scene.render.fps / fps
        try:
            with showing(context, scene):
                _READERS[kind](path, first)
        except (OSError, RuntimeError) as error:
            raise ExportProblem(
                f"{path.name} was written, but Blender cannot read it: {last_word(error)}"
            ) from error
        yield scene


@contextmanager
def removed_afterwards() -> Iterator[None]:
    """Remove every data-block after the block that was not there before it."""
    kinds = [
        name
        for name, value in bpy.types.BlendData.bl_rna.properties.items()
        if value.type == "COLLECTION" and name not in ("libraries", "shape_keys", "workspaces", "screens")
    ]
    before = {name: {block.session_uid for block in getattr(bpy.data, name)} for name in kinds}
    try:
        yield
    finally:
        made = [
            block
            for name in kinds
            for block in getattr(bpy.data, name)
            if block.session_uid not in before[name]
        ]
        bpy.data.batch_remove(made)


def gltf_times(path: Path) -> np.ndarray:
    """The times at which a glTF file's only animation has keys, seconds; empty when it has not just one."""
    data = path.read_bytes()
    binary = b""
    if data[:4] == b"glTF":
        length = struct.unpack_from("<I", data, 12)[0]
        document, rest = json.loads(data[20 : 20 + length]), data[20 + length :]
        if len(rest) >= 8:
            binary = rest[8:]
    else:
        document = json.loads(data)
        uri = document.get("buffers", [{}])[0].get("uri", "")
        if uri:
            binary = (path.parent / unquote(uri)).read_bytes()
    animations = document.get("animations", [])
    if len(animations) != 1:
        return np.zeros(0)
    times = []
    for number in {sampler["input"] for sampler in animations[0]["samplers"]}:
        accessor = document["accessors"][number]
        view = document["bufferViews"][accessor["bufferView"]]
        start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        times.append(np.frombuffer(binary, "<f4", accessor["count"], start))
    return np.unique(np.concatenate(times)).astype(np.float64)


def _fbx(path: Path, first: int) -> None:
    # bones' own axes and lengths may be guessed wrong: only joints count
    bpy.ops.import_scene.fbx(filepath=str(path), anim_offset=0.0, use_image_search=False)


def _bvh(path: Path, first: int) -> None:
    bpy.ops.import_anim.bvh(
        filepath=str(path), frame_start=first, update_scene_fps=True, update_scene_duration=True
    )


def _gltf(path: Path, first: int) -> None:
    bpy.ops.import_scene.gltf(filepath=str(path), disable_bone_shape=True, **GLTF_INTO_SCENE)


def _usd(path: Path, first: int) -> None:
    bpy.ops.wm.usd_import(filepath=str(path), set_frame_range=True, import_textures_mode="IMPORT_NONE")


def _alembic(path: Path, first: int) -> None:
    bpy.ops.wm.alembic_import(
        filepath=str(path), set_frame_range=True, always_add_cache_reader=True, as_background_job=False
    )


_READERS: Final[dict[Format, Callable[[Path, int], None]]] = {
    "FBX": _fbx,
    "BVH": _bvh,
    "GLB": _gltf,
    "GLTF": _gltf,
    "USD": _usd,
    "ALEMBIC": _alembic,
}
