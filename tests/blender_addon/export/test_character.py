# SPDX-License-Identifier: GPL-3.0-or-later
"""character: every format read back, the user's scene as it was, and failures that leave no trace."""

import errno
import math
import resource
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from recover_motion.compat import curves_of
from recover_motion.export import exporter_addons, writers
from recover_motion.export.character import export_character, with_suffix
from recover_motion.export.importers import imported
from recover_motion.export.options import TOLERANCE, ExportOptions, ExportProblem
from recover_motion.export.read_back import vertices_in_world
from scene_state import state

pytestmark = pytest.mark.bpy

WITH_BONES = ("FBX", "BVH", "GLB", "GLTF", "USD")
FORMATS = (*WITH_BONES, "ALEMBIC", "AMASS", "SMPL")
QUICK = ExportOptions(check=False)


def options_for(path: Path, **changes: object) -> ExportOptions:
    return ExportOptions(**({"body": path} | changes))


def unkeyed(armature: bpy.types.Object) -> None:
    """Pose bones without keying them, in Pose Mode."""
    bpy.context.view_layer.objects.active = armature
    for thing in bpy.context.scene.objects:
        thing.select_set(thing == armature)
    bpy.ops.object.mode_set(mode="POSE")
    armature.pose.bones["head"].rotation_quaternion = (0.5, 0.5, 0.5, 0.5)
    armature.pose.bones["pelvis"].location.x += 0.123
    bpy.context.view_layer.update()


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_reads_back_and_nothing_changes(kind, recovered, scene, synthetic_body_path, tmp_path):
    scene.render.fps, scene.render.fps_base = 30, 1.001
    for curve in curves_of(recovered):  # to where 30 and 29.97 have drifted apart
        for key in curve.keyframe_points:
            key.co_ui.x += 99
    bpy.data.objects.new("Armature", None)  # the name that Unreal wants
    unkeyed(recovered)
    before = state()
    exported = export_character(
        bpy.context, recovered, tmp_path / "a", kind, options_for(synthetic_body_path)
    )
    assert state() == before
    assert exported.frames == (100, 107)
    assert exported.fps == pytest.approx(30 / 1.001)
    assert exported.off <= TOLERANCE / 10
    what = "vertices" if kind == "ALEMBIC" else "joints"
    assert exported.check.startswith(f"8 frames at 29.97 fps read back, {what} within 0.0")
    there = {path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "recovered"}
    assert there == {exported.file, *exported.others}


@pytest.mark.parametrize("preset", ["UNREAL", "UNITY", "MAYA"])
def test_an_fbx_file_is_of_its_programs_size(preset, recovered, tmp_path):
    exported = export_character(
        bpy.context, recovered, tmp_path / "a.fbx", "FBX", ExportOptions(preset=preset)
    )
    before = set(bpy.data.objects)
    bpy.ops.import_scene.fbx(filepath=str(exported.file))
    armature = next(thing for thing in set(bpy.data.objects) - before if thing.type == "ARMATURE")
    assert armature.name.startswith("Armature" if preset == "UNREAL" else recovered.name)
    # Blender turns a file's unit and axes into the object's transform, and shows by it what the file says
    assert armature.scale[0] == pytest.approx(1.0 if preset == "UNITY" else 0.01)
    upright = 0.0 if preset == "UNREAL" else math.pi / 2
    assert armature.rotation_euler.x == pytest.approx(upright, abs=1e-5)
    tall = max(bone.tail_local.length for bone in armature.data.bones)
    assert 1.0 < tall / (1 if preset == "UNITY" else 100) < 3.0


def test_a_rig_of_small_scale_on_its_back_reads_back(made, tmp_path):
    armature = made("fbx_mixamo")  # 0.01 and 90 degrees about x, as importers leave it
    for kind in ("FBX", "BVH", "GLB", "USD", "ALEMBIC"):
        options = ExportOptions(preset="UNITY")
        exported = export_character(bpy.context, armature, tmp_path / "a", kind, options)
        assert exported.frames == (3, 10)
        assert exported.off <= TOLERANCE / 10


def test_a_turned_object_on_its_way_is_told_by_the_root(made, scene, tmp_path):
    armature = made("cartoon_plain")
    armature.rotation_euler = (0, 0, 1)
    for frame, place in ((3, (1, 2, 0)), (10, (4, 2, 1))):
        armature.location = place
        armature.keyframe_insert("location", frame=frame)
    exported = export_character(bpy.context, armature, tmp_path / "a.fbx", "FBX")
    assert exported.off <= TOLERANCE / 10
    before = set(bpy.data.objects)
    bpy.ops.import_scene.fbx(filepath=str(exported.file))
    read = next(thing for thing in set(bpy.data.objects) - before if thing.type == "ARMATURE")
    np.testing.assert_allclose(read.location, 0, atol=1e-6)
    np.testing.assert_allclose(read.rotation_euler, 0, atol=1e-6)


def test_units_of_the_scene_count(made, scene, tmp_path):
    armature = made("cartoon_plain")
    scene.unit_settings.system, scene.unit_settings.scale_length = "METRIC", 0.1
    exported = export_character(bpy.context, armature, tmp_path / "a.glb", "GLB")
    assert exported.off <= TOLERANCE / 10
    before = set(bpy.data.objects)
    scene.unit_settings.scale_length = 1.0
    bpy.ops.import_scene.gltf(filepath=str(exported.file))
    read = next(thing for thing in set(bpy.data.objects) - before if thing.type == "ARMATURE")
    tall = max(bone.head_local.z for bone in read.data.bones)
    assert tall == pytest.approx(0.1 * max(bone.head_local.z for bone in armature.data.bones), rel=1e-3)


def test_controls_are_left_out_and_props_come_along(made, scene, tmp_path):
    armature = made("mannequin")
    kept = [bone.name for bone in armature.data.bones if bone.use_deform]
    loose = next(bone.name for bone in armature.data.bones if not bone.use_deform and bone.parent)
    data = bpy.data.meshes.new("sword")
    data.from_pydata([(0, 0, 0), (0, 0.1, 0), (0, 0, 1)], [], [(0, 1, 2)])
    sword = bpy.data.objects.new("sword", data)
    scene.collection.objects.link(sword)
    sword.parent, sword.parent_type, sword.parent_bone = armature, "BONE", "hand_r"
    exported = export_character(
        bpy.context, armature, tmp_path / "a.fbx", "FBX", ExportOptions(deform_only=True)
    )
    before = set(bpy.data.objects)
    bpy.ops.import_scene.fbx(filepath=str(exported.file), anim_offset=0.0)
    new = set(bpy.data.objects) - before
    read = next(thing for thing in new if thing.type == "ARMATURE")
    names = {bone.name for bone in read.data.bones}
    assert set(kept) <= names
    assert loose not in names
    other = next(thing for thing in new if thing.name.startswith("sword"))
    for frame in (3, 8):
        scene.frame_set(frame)
        graph = bpy.context.evaluated_depsgraph_get()
        tip = sword.evaluated_get(graph).matrix_world @ data.vertices[2].co
        shown = other.evaluated_get(graph)
        np.testing.assert_allclose(shown.matrix_world @ shown.data.vertices[2].co, tip, atol=1e-4)


@pytest.mark.parametrize("kind", ["FBX", "GLB"])
def test_nothing_changes_when_the_exporter_fails(kind, recovered, tmp_path, monkeypatch):
    unkeyed(recovered)
    before = state()
    old = export_character(bpy.context, recovered, tmp_path / "a", kind, QUICK).file.read_bytes()

    def fail(figure, options, path):
        path.write_text("half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(writers._WRITERS, kind, fail)
    with pytest.raises(ExportProblem, match="disk is full"):
        export_character(bpy.context, recovered, tmp_path / "a", kind, QUICK)
    assert state() == before
    file = with_suffix(tmp_path / "a", kind)
    assert file.read_bytes() == old
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("kind", ["FBX", "GLB"])
def test_a_file_that_the_system_cuts_off(kind, recovered, tmp_path):
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, limit[1]))
    try:
        with pytest.raises(ExportProblem, match=r"a\.\w+ could not be written: .*File too large"):
            export_character(bpy.context, recovered, tmp_path / "a", kind)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert [path.name for path in tmp_path.iterdir()] == ["recovered"]


def test_alembic_needs_room_on_the_disk(recovered, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    with pytest.raises(ExportProblem, match="may need 50 MB, and the disk has 1 MB left"):
        export_character(bpy.context, recovered, tmp_path / "a", "ALEMBIC")


def test_a_file_that_lies_is_not_put_in_place(recovered, tmp_path, monkeypatch):
    old = export_character(bpy.context, recovered, tmp_path / "a.bvh", "BVH").file.read_bytes()
    honest = writers._WRITERS["BVH"]

    def slower(figure, options, path):
        honest(figure, options, path)
        path.write_text(path.read_text().replace("Frame Time: 0.033333", "Frame Time: 0.040000"))

    monkeypatch.setitem(writers._WRITERS, "BVH", slower)
    with pytest.raises(
        ExportProblem, match=r"25 frames per second instead of 30.*kept in a\.bvh\.failed-check"
    ):
        export_character(bpy.context, recovered, tmp_path / "a.bvh", "BVH")
    assert (tmp_path / "a.bvh").read_bytes() == old
    assert (tmp_path / "a.bvh.failed-check" / "a.bvh").is_file()


def test_a_switched_off_exporter_is_switched_on_for_a_moment(recovered, tmp_path):
    import addon_utils  # there once bpy is

    addon_utils.disable("io_anim_bvh")
    try:
        assert export_character(bpy.context, recovered, tmp_path / "a", "BVH").check
        assert not addon_utils.check("io_anim_bvh")[1]
    finally:
        addon_utils.enable("io_anim_bvh")


@pytest.mark.parametrize("kind", ["USD", "ALEMBIC"])
def test_a_blender_without_the_exporter(kind, recovered, tmp_path, monkeypatch):
    monkeypatch.setattr(exporter_addons, "_BUILT_IN", {kind: "opencolorio_of_another_time"})
    assert export_character(bpy.context, recovered, tmp_path / "a", kind, QUICK).file.is_file()
    parts = SimpleNamespace(app=SimpleNamespace(build_options=SimpleNamespace(usd=False, alembic=False)))
    monkeypatch.setattr(exporter_addons, "_BUILT_IN", {"USD": "usd", "ALEMBIC": "alembic"})
    monkeypatch.setattr(exporter_addons, "bpy", parts)
    with pytest.raises(ExportProblem, match=r"built without (USD|Alembic)\. Use one from blender\.org"):
        export_character(bpy.context, recovered, tmp_path / "b", kind)


def test_wrong_picks_are_told(recovered, scene, tmp_path, monkeypatch):
    def refused(thing, kind="FBX", match="", options=None):
        with pytest.raises(ExportProblem, match=match):
            export_character(bpy.context, thing, tmp_path / "a", kind, options)

    skin = recovered.children[0]
    refused(skin, match="no armature")
    refused(recovered, options=ExportOptions(frames="OWN", start=5, end=2), match="before the first")
    refused(recovered, options=ExportOptions(frames="OWN", start=-3, end=2), match="no frames before 0")
    refused(recovered, kind="AMASS", match="proportions")  # on the open body
    recovered.scale = (1, 1, 2)
    bpy.context.view_layer.update()
    refused(recovered, match="scaled unevenly")
    recovered.scale = (1, 1, 1)
    bpy.data.objects.remove(skin)
    refused(recovered, kind="ALEMBIC", match="deforms no mesh")
    recovered.animation_data.action = None
    refused(recovered, match="no action")
    bones = bpy.data.objects.new("Empty", bpy.data.armatures.new("Empty"))
    scene.collection.objects.link(bones)
    refused(bones, match="no bones")


def test_a_folder_that_cannot_be_made(recovered, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportProblem, match=r"a\.fbx could not be written"):
        export_character(bpy.context, recovered, tmp_path / "file" / "a", "FBX", QUICK)


def test_a_character_that_stands_still(recovered, tmp_path):
    still = ExportOptions(frames="OWN", start=20, end=23)  # after its last key
    for kind in ("FBX", "GLB", "USD", "ALEMBIC"):
        exported = export_character(bpy.context, recovered, tmp_path / "a", kind, still)
        assert exported.frames == (20, 23)
        assert exported.check.startswith("4 frames")


def test_a_single_frame(recovered, tmp_path):
    one = ExportOptions(frames="OWN", start=2, end=2)
    for kind in WITH_BONES:
        exported = export_character(bpy.context, recovered, tmp_path / "a", kind, one)
        assert exported.check.startswith("1 frame at 30 fps")
    with pytest.raises(ExportProblem, match="frame 2 alone"):
        export_character(bpy.context, recovered, tmp_path / "a", "ALEMBIC", one)


def test_ends_of_names():
    assert with_suffix(Path("walk.person01"), "FBX") == Path("walk.person01.fbx")
    assert with_suffix(Path("walk.FBX"), "FBX") == Path("walk.FBX")
    assert with_suffix(Path("walk.fbx"), "GLB") == Path("walk.glb")
    assert with_suffix(Path("walk.usda"), "USD") == Path("walk.usda")


def test_animated_and_driven_shape_keys_come_along(made, scene, tmp_path):
    armature = made("cartoon_plain")
    skin = armature.children[0]
    skin.shape_key_add(name="Basis")
    wide, tall = (skin.shape_key_add(name=name, from_mix=False) for name in ("wide", "tall"))
    for point in wide.data:
        point.co.x += 0.3
    for point in tall.data:
        point.co.z += 0.2
    for frame, value in ((3, 0.0), (10, 1.0)):
        wide.value = value
        wide.keyframe_insert("value", frame=frame)
    driver = tall.driver_add("value").driver
    driver.type = "SUM"
    target = driver.variables.new()
    target.type = "TRANSFORMS"
    target.targets[0].id, target.targets[0].bone_target = armature, armature.pose.bones[0].name
    target.targets[0].transform_type, target.targets[0].transform_space = "LOC_X", "LOCAL_SPACE"
    bone = armature.pose.bones[0]
    bone.location.x += 0.3  # not keyed
    bpy.context.view_layer.update()
    before = state()
    files = {
        kind: export_character(bpy.context, armature, tmp_path / "a", kind, ExportOptions(preset="MAYA")).file
        for kind in ("FBX", "GLB", "USD")
    }
    assert state() == before
    for kind, file in files.items():
        with imported(bpy.context, file, kind, 30.0, 3) as read:
            other = next(thing for thing in read.objects if thing.type == "MESH")
            for frame in (3, 7, 10):
                scene.frame_set(frame)
                read.frame_set(frame - 3 if kind == "GLB" else frame)
                wanted = vertices_in_world(skin, bpy.context.evaluated_depsgraph_get())
                found = vertices_in_world(other, read.view_layers[0].depsgraph)
                np.testing.assert_allclose(found.mean(axis=0), wanted.mean(axis=0), atol=2e-3)
