# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be chosen about an export, and what comes of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Format = Literal["FBX", "BVH", "GLB", "GLTF", "USD", "ALEMBIC", "AMASS", "SMPL"]
Preset = Literal["UNREAL", "UNITY", "MAYA"]
Frames = Literal["ACTION", "SCENE", "OWN"]

SUFFIXES: Final[dict[Format, tuple[str, ...]]] = {
    "FBX": (".fbx",),
    "BVH": (".bvh",),
    "GLB": (".glb",),
    "GLTF": (".gltf",),
    "USD": (".usdc", ".usda", ".usd"),
    "ALEMBIC": (".abc",),
    "AMASS": (".npz",),
    "SMPL": (".smpl",),
}
"""Endings of the files of each format; the first is the usual one."""

TOLERANCE: Final = 0.001
"""How far a joint (for Alembic, a vertex) may be from where it was, when the file is read back; metres."""


class ExportProblem(Exception):  # noqa: N818 (a problem to tell the user, not a bug)
    """What stops an export, in words for the user: which character or file, what is wrong, what to do."""


@dataclass(frozen=True)
class ExportOptions:
    """How to export.

    Attributes:
        preset: units and axes of an FBX file.
        frames: the armature's action, the scene's range (its preview range, when that is in use), or `start`
            to `end`.
        start: first frame, used with ``OWN``.
        end: last frame, used with ``OWN``.
        deform_only: leave out bones that deform nothing, as the controls of a rig; its root bone stays.
        meshes: the skinned meshes too, where the format has skins.
        centimetres: of formats that do not tell their unit (BVH, Alembic): centimetres instead of metres.
        check: read the file back and compare.
        body: body file of an armature in SMPL's layout; None for the open body.
    """

    preset: Preset = "UNREAL"
    frames: Frames = "ACTION"
    start: int = 1
    end: int = 250
    deform_only: bool = False
    meshes: bool = True
    centimetres: bool = False
    check: bool = True
    body: Path | None = None


@dataclass(frozen=True)
class Exported:
    """An exported character.

    Attributes:
        file: the file that was asked for.
        others: what belongs to it, as textures beside it.
        frames: first and last scene frame.
        fps: frames per second.
        check: what reading it back has shown, in words; empty when that was not wanted.
        off: metres that a joint or vertex was off at most; None without a check.
        notes: what the user should know, though it went well.
    """

    file: Path
    others: tuple[Path, ...]
    frames: tuple[int, int]
    fps: float
    check: str = ""
    off: float | None = None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        first, last = self.frames
        return (
            f"{self.file.name}: {self.check or f'frames {first} to {last} at {self.fps:g} fps, not checked'}"
        )
