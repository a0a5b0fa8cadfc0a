# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's exporters with the settings that each receiving program wants, and why."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import bpy
import numpy as np

from ..compat import USD_TEXTURES
from .baked_pose import Y_UP, Placement
from .options import ExportOptions, ExportProblem, Format, Preset
from .stand_in import StandIn, in_scene

_FBX: Final[dict[Preset, dict[str, Any]]] = {
    # Centimetres, and Blender's own axes: they are those that Unreal turns every file to.
    "UNREAL": {"axis_forward": "Y", "axis_up": "Z", "apply_scale_options": "FBX_SCALE_NONE"},
    # Metres, said in the file, so that its factor in Unity is 1; y up. The stand-in stands that way already,
    # so that no object is turned by -90 degrees.
    "UNITY": {
        "axis_forward": "-Z",
        "axis_up": "Y",
        "apply_scale_options": "FBX_SCALE_UNITS",
        "use_space_transform": False,
    },
    # Centimetres, y up: Maya's own.
    "MAYA": {
        "axis_forward": "-Z",
        "axis_up": "Y",
        "apply_scale_options": "FBX_SCALE_NONE",
        "use_space_transform": False,
    },
}

_CENTIMETRES: Final = ("UNREAL", "MAYA")
_Y_UP: Final = ("UNITY", "MAYA")


def placement_of(kind: Format, options: ExportOptions, metres: float) -> Placement:
    """Units and axes of the stand-in for a format.

    Args:
        kind: the format.
        options: preset and unit count.
        metres: to a unit of the scene.
    """
    hundredfold = options.preset in _CENTIMETRES if kind == "FBX" else kind == "BVH" and options.centimetres
    y_up = options.preset in _Y_UP if kind == "FBX" else kind == "BVH"
    return Placement(Y_UP if y_up else np.eye(3), metres * (100.0 if hundredfold else 1.0))


def name_in_file(kind: Format, options: ExportOptions, armature: bpy.types.Object) -> str:
    """What the armature object is called in the file.

    Unreal takes an object above the bones for one more bone, unless its name is Armature.
    """
    return "Armature" if kind == "FBX" and options.preset == "UNREAL" else armature.name


def write(
    context: bpy.types.Context, stand_in: StandIn, kind: Format, options: ExportOptions, path: Path
) -> None:
    """Write a stand-in to a file.

    Raises:
        ExportProblem: the exporter failed.
    """
    scene = stand_in.scene
    scene.unit_settings.system = "METRIC"
    hundredfold = kind == "FBX" and options.preset in _CENTIMETRES
    scene.unit_settings.scale_length = 0.01 if hundredfold else 1.0
    if kind in ("GLB", "GLTF"):
        # Blender's glTF exporter (4.2 to 5.2) multiplies by the base where all others divide: 30.03 for 29.97
        scene.render.fps_base = 1 / scene.render.fps_base
    with in_scene(context, scene, stand_in.armature):
        run_exporter(_WRITERS[kind], stand_in, options, path)


def run_exporter(writer: Callable[..., object], *arguments: Any) -> None:
    """Run an exporter; its last argument is the path.

    Raises:
        ExportProblem: it failed, or there is no file.
    """
    path: Path = arguments[-1]
    try:
        writer(*arguments)
    except (OSError, RuntimeError) as error:
        raise ExportProblem(why_not_written(path, error)) from error
    if not path.is_file() or not path.stat().st_size:
        raise ExportProblem(
            f"Blender's exporter wrote no file {path.name}. Look at its console for the reason."
        )


def why_not_written(path: Path, error: Exception) -> str:
    """The message for a file that could not be written.

    Args:
        path: the file.
        error: of the system, or of an operator, which holds the system's as text.
    """
    number = error.errno if isinstance(error, OSError) else None
    text = str(error).strip()
    if number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text or "[Errno 28]" in text:
        return f"{path.name} could not be written: the disk is full. Make room, or choose another folder."
    if number in (errno.EACCES, errno.EPERM, errno.EROFS) or "Permission denied" in text:
        return (
            f"{path.name} could not be written: {path.parent} may not be written to. Choose another folder."
        )
    return f"{path.name} could not be written: {last_word(error)}"


def last_word(error: Exception) -> str:
    """What an operator's error comes down to: the end of the traceback that Blender puts into it."""
    lines = [line for line in str(error).strip().splitlines() if not line.startswith("Location:")]
    return lines[-1] if lines else type(error).__name__


def _fbx(stand_in: StandIn, options: ExportOptions, path: Path) -> None:
    bpy.ops.export_scene.fbx(
        filepath=str(path),
        use_selection=True,
        object_types={"ARMATURE", "MESH"},
        apply_unit_scale=True,
        add_leaf_bones=False,  # bones nobody made
        use_armature_deform_only=False,  # done already, see `kept_bones`
        bake_anim=True,
        bake_anim_use_all_bones=True,
        bake_anim_use_nla_strips=False,  # this motion alone
        bake_anim_use_all_actions=False,
        bake_anim_force_startend_keying=True,
        bake_anim_simplify_factor=0.0,  # simplified curves let feet creep
        mesh_smooth_type="FACE",
        path_mode="COPY",
        embed_textures=True,
        **_FBX[options.preset],
    )


def _bvh(stand_in: StandIn, options: ExportOptions, path: Path) -> None:
    bpy.ops.export_anim.bvh(
        filepath=str(path),
        frame_start=stand_in.scene.frame_start,
        frame_end=stand_in.scene.frame_end,
        rotate_mode="XYZ",
        root_transform_only=not stand_in.moves,  # channels of position that stay zero confuse some readers
    )


def _gltf(stand_in: StandIn, options: ExportOptions, path: Path) -> None:
    bpy.ops.export_scene.gltf(
        filepath=str(path),
        export_format="GLB" if path.suffix == ".glb" else "GLTF_SEPARATE",
        export_texture_dir="" if path.suffix == ".glb" else f"{path.stem}_textures",
        use_selection=True,
        use_active_scene=True,
        export_animation_mode="SCENE",  # what is seen, as one animation, called as the scene
        export_anim_scene_split_object=False,
        export_anim_slide_to_zero=True,  # a player would hold the first pose for the frames before it
        export_optimize_animation_size=False,  # every bone has a key at every frame
        export_yup=True,
    )


def _usd(stand_in: StandIn, options: ExportOptions, path: Path) -> None:
    bpy.ops.wm.usd_export(
        filepath=str(path),
        selected_objects_only=True,
        export_animation=True,
        export_armatures=True,
        export_shapekeys=True,
        only_deform_bones=False,  # done already
        evaluation_mode="VIEWPORT",
        convert_world_material=False,
        export_custom_properties=False,
        **USD_TEXTURES,
    )


def write_alembic(scene: bpy.types.Scene, unit: float, path: Path) -> None:
    """Write the selected meshes of a scene as they are deformed, in the present context.

    Args:
        scene: gives the range.
        unit: units in the file to one of the scene.
        path: the file.
    """
    bpy.ops.wm.alembic_export(
        filepath=str(path),
        start=scene.frame_start,
        end=scene.frame_end,
        selected=True,
        flatten=True,  # every mesh where it is in the world, without the rig above it
        uvs=True,
        normals=True,
        global_scale=unit,
        export_hair=False,
        export_particles=False,
        as_background_job=False,
        evaluation_mode="VIEWPORT",
    )


_WRITERS: Final[dict[Format, Callable[[StandIn, ExportOptions, Path], None]]] = {
    "FBX": _fbx,
    "BVH": _bvh,
    "GLB": _gltf,
    "GLTF": _gltf,
    "USD": _usd,
}
