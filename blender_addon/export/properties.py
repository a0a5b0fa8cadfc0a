# SPDX-License-Identifier: GPL-3.0-or-later
"""The scene's settings of export. The group has neither methods nor callbacks, see `properties`."""

import bpy

from ..compat import RELATIVE_PATH


class RECOVER_MOTION_PG_export(bpy.types.PropertyGroup):
    """How to export the scene's characters."""

    format: bpy.props.EnumProperty(
        name="Format",
        description="Kind of file",
        items=(
            ("FBX", "FBX", "Bones, skins and motion for game engines and Maya (.fbx)"),
            ("BVH", "BVH", "Bones and motion alone, as text (.bvh)"),
            (
                "GLB",
                "glTF Binary",
                "Bones, skins and motion in one file for Godot, the web and others (.glb)",
            ),
            (
                "GLTF",
                "glTF Separate",
                "The same as text, with its data and textures in files beside it (.gltf)",
            ),
            ("USD", "USD", "Skeleton, skins and motion; textures go into a folder beside it (.usdc)"),
            ("ALEMBIC", "Alembic", "The skins as they move, vertex by vertex, without bones (.abc)"),
            ("AMASS", "Motion File", "SMPL's numbers, as this add-on and AMASS's tools read them (.npz)"),
            ("SMPL", "SMPL", "SMPL's numbers for Meshcapade's tools (.smpl)"),
        ),
    )
    preset: bpy.props.EnumProperty(
        name="For",
        description="Program whose units and axes the file has",
        items=(
            ("UNREAL", "Unreal Engine", "Centimetres, z up; the armature object is no bone"),
            ("UNITY", "Unity", "Metres, y up, nothing turned or scaled"),
            ("MAYA", "Maya", "Centimetres, y up; also for MotionBuilder and 3ds Max"),
        ),
    )
    frames: bpy.props.EnumProperty(
        name="Range",
        description="Which frames to export",
        items=(
            ("ACTION", "Action", "The frames of the character's action"),
            ("SCENE", "Scene", "The scene's range, or its preview range when that is in use"),
            ("OWN", "Own", "The frames below"),
        ),
    )
    start: bpy.props.IntProperty(name="Start", description="First frame to export", default=1)
    end: bpy.props.IntProperty(name="End", description="Last frame to export", default=250)
    deform_only: bpy.props.BoolProperty(
        name="Deform Only",
        description=(
            "Leave out the controls of a rig: only its root and the bones that move skin are exported, each"
            " under the nearest such bone above it"
        ),
    )
    meshes: bpy.props.BoolProperty(
        name="Meshes", description="Export the skins too, and not the bones alone", default=True
    )
    centimetres: bpy.props.BoolProperty(
        name="Centimetres",
        description=(
            "Write centimetres instead of metres: the format does not tell, and many programs expect it"
        ),
    )
    body: bpy.props.StringProperty(
        name="Body",
        description="Body file that the motion was made on. When empty, the open body",
        subtype="FILE_PATH",
        options=RELATIVE_PATH,
    )
    check: bpy.props.BoolProperty(
        name="Check the File",
        description=(
            "Read the file back and compare every joint at every frame. Long takes need about as long again"
        ),
        default=True,
    )


def register() -> None:
    """Register the group and attach it."""
    bpy.utils.register_class(RECOVER_MOTION_PG_export)
    bpy.types.Scene.recover_motion_export = bpy.props.PointerProperty(type=RECOVER_MOTION_PG_export)


def unregister() -> None:
    """Detach the group and unregister it."""
    del bpy.types.Scene.recover_motion_export
    bpy.utils.unregister_class(RECOVER_MOTION_PG_export)
