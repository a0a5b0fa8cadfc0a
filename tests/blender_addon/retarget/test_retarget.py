# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion onto rigs whose right poses are known, and onto what artists have; nothing of theirs is lost."""

from pathlib import Path

import bpy
import numpy as np
import pytest
from characters import character
from characters.exact import a_pose, same_directions
from characters.motions import Source, random_poses, walk
from mathutils import Matrix
from recover_motion.compat import HAS_SLOTS, Placed, curves_of
from recover_motion.edit_mode import edit_mode
from recover_motion.retarget.detection import detect
from recover_motion.retarget.keys import KEY, put_back
from recover_motion.retarget.mapping import ROLES, BoneMap, Setting
from recover_motion.retarget.options import Options
from recover_motion.retarget.preset_file import built_in_presets
from recover_motion.retarget.problem import RetargetProblem
from recover_motion.retarget.retarget import retarget
from recover_motion.retarget.rig_bones import rig_bones

FREE = Options(feet="OFF")


def mapped(bones: dict[str, str]) -> BoneMap:
    return BoneMap({role: (bones[role],) for role in ROLES})


def detected(rig: bpy.types.Object) -> BoneMap:
    return detect(rig_bones(rig), built_in_presets())[0].bone_map


def bare(source: Source) -> Source:
    """A source without its skin: Blender steps through frames faster."""
    bpy.data.objects.remove(source.mesh)
    return source


def bare_walk(folder: Path, count: int) -> Source:
    return bare(walk(folder, count=count))


def go(
    source: Source, rig: bpy.types.Object, bone_map: BoneMap | None = None, options: Options = FREE, **more
):
    return retarget(bpy.context, source.armature, rig, bone_map or detected(rig), options, **more)


def directions(rig: bpy.types.Object, bones: list[str]) -> np.ndarray:
    world = rig.matrix_world.to_3x3()
    return np.array([(world @ rig.pose.bones[name].vector).normalized() for name in bones], float)


def worst_direction(source: Source, rig: bpy.types.Object, bone_map: BoneMap, every: int = 1) -> float:
    """Largest angle, in degrees, between a bone and the source's, over the frames."""
    worst = 0.0
    for frame in range(source.frames[0], source.frames[1] + 1, every):
        bpy.context.scene.frame_set(frame)
        ours = directions(rig, [bone_map.bones[role][0] for role in ROLES])
        theirs = directions(source.armature, list(ROLES))
        apart = np.linalg.norm(ours - theirs, axis=1)
        worst = max(worst, float(np.degrees(2 * np.arcsin(apart / 2)).max()))
    return worst


def middle_of_hips(rig: bpy.types.Object, bones: tuple[str, str]) -> np.ndarray:
    return np.mean([rig.matrix_world @ rig.pose.bones[name].head for name in bones], axis=0)


def leg_of(rig: bpy.types.Object, names: tuple[str, str, str]) -> float:
    hip, knee, ankle = (rig.data.bones[name].head_local for name in names)
    return rig.matrix_world.to_scale().x * ((hip - knee).length + (knee - ankle).length)


# --- right poses


@pytest.mark.parametrize("seed", range(3))
def test_rigs_that_differ_in_roll_size_names_and_transform_point_the_same_way(scene, tmp_path, seed) -> None:
    source = random_poses(tmp_path, seed=seed)
    rig = same_directions(source.armature, seed, scene)
    bone_map = mapped(rig.bones)
    bare(source)
    bpy.data.objects.remove(rig.mesh)
    made = go(source, rig.armature, bone_map)
    assert made.frame_range == source.frames
    assert worst_direction(source, rig.armature, bone_map) < 0.1
    assert made.degrees < 0.1
    assert made.notes == ()


@pytest.mark.parametrize("degrees", [45])
def test_a_pose_points_the_same_way_after_the_correction(scene, tmp_path, degrees) -> None:
    source = random_poses(tmp_path, seed=9)
    rig = a_pose(source.armature, degrees, scene)
    bone_map = mapped(rig.bones)
    bare(source)
    bpy.data.objects.remove(rig.mesh)
    go(source, rig.armature, bone_map)
    assert worst_direction(source, rig.armature, bone_map) < 0.1
    go(source, rig.armature, bone_map, Options(feet="OFF", alignment="REST"))
    assert worst_direction(source, rig.armature, bone_map, every=20) > degrees - 1


@pytest.mark.parametrize("mode", ["XYZ", "ZXY", "AXIS_ANGLE"])
def test_rotation_modes_of_the_rig_stay(scene, tmp_path, mode) -> None:
    source = random_poses(tmp_path, seed=4, count=40)
    rig = same_directions(source.armature, 4, scene)
    for bone in rig.armature.pose.bones:
        bone.rotation_mode = mode
    bone_map = mapped(rig.bones)
    go(source, rig.armature, bone_map)
    assert worst_direction(source, rig.armature, bone_map) < 0.1
    assert {bone.rotation_mode for bone in rig.armature.pose.bones} == {mode}
    names = {"AXIS_ANGLE": "rotation_axis_angle"}
    paths = {curve.data_path.rsplit(".", 1)[1] for curve in curves_of(rig.armature)}
    assert paths == {"location", names.get(mode, "rotation_euler")}


def test_pose_taken_for_the_sources_rest(scene, tmp_path) -> None:
    """An artist poses a rig like the source's rest by hand: it follows from there."""
    source = random_poses(tmp_path, seed=11, count=20)
    rig = a_pose(source.armature, 45, scene)
    for side, sign in (("left", -1), ("right", 1)):
        for name, axis, degrees in ((f"{side}_shoulder", "Y", 45 * sign), (f"{side}_elbow", "Z", 15 * -sign)):
            bone = rig.armature.pose.bones[name]
            bone.rotation_mode = "QUATERNION"
            rest = bone.bone.matrix_local.to_3x3()
            turn = rest.inverted() @ Matrix.Rotation(np.radians(degrees), 3, axis) @ rest
            bone.rotation_quaternion = turn.to_quaternion()
    bpy.context.view_layer.update()
    bones = source.armature.data.bones
    rest = {role: (bones[role].tail_local - bones[role].head_local).normalized() for role in ROLES}
    posed = directions(rig.armature, list(ROLES))
    missed = max(np.linalg.norm(posed - [rest[role] for role in ROLES], axis=1))
    assert missed < 0.1  # the pose is about the source's rest, and not quite
    go(source, rig.armature, mapped(rig.bones), Options(feet="OFF", alignment="POSE"))
    assert worst_direction(source, rig.armature, mapped(rig.bones)) < np.degrees(missed) + 0.1


def test_hips_go_the_sources_way_scaled_by_the_legs(scene, tmp_path) -> None:
    source = walk(tmp_path, count=30)
    rig = same_directions(source.armature, 2, scene)
    go(source, rig.armature, mapped(rig.bones))
    legs = ("left_hip", "left_knee", "left_ankle")
    ratio = leg_of(rig.armature, tuple(rig.bones[name] for name in legs)) / leg_of(source.armature, legs)
    assert abs(ratio - 1) > 0.05
    theirs, ours = [], []
    for frame in range(source.frames[0], source.frames[1] + 1):
        scene.frame_set(frame)
        theirs.append(middle_of_hips(source.armature, ("left_hip", "right_hip")))
        ours.append(middle_of_hips(rig.armature, (rig.bones["left_hip"], rig.bones["right_hip"])))
    theirs, ours = np.array(theirs), np.array(ours)
    np.testing.assert_allclose(ours[0, :2], theirs[0, :2], atol=1e-4)
    np.testing.assert_allclose(ours[:, :2] - ours[0, :2], ratio * (theirs[:, :2] - theirs[0, :2]), atol=2e-3)
    np.testing.assert_allclose(ours[:, 2], ratio * theirs[:, 2], rtol=0.01)


# --- what carries the motion


def pose_in_world(rig: bpy.types.Object, bones: list[str]) -> np.ndarray:
    return np.array([rig.matrix_world @ rig.pose.bones[name].matrix for name in bones])


@pytest.mark.parametrize("carrier", ["BONE", "OBJECT"])
def test_carrier_takes_the_way_and_the_body_is_where_it_was(scene, tmp_path, carrier) -> None:
    source = bare_walk(tmp_path, 100)
    rig = character("mannequin", scene).armature
    bone_map = detected(rig)
    body = [name for names in bone_map.bones.values() for name in names]
    poses = {}
    for root in ("PELVIS", carrier):
        go(source, rig, bone_map, Options(root=root))
        poses[root], ways = [], []
        for frame in range(source.frames[0], source.frames[1] + 1, 6):
            scene.frame_set(frame)
            poses[root].append(pose_in_world(rig, body))
            carried = rig.matrix_world @ (rig.pose.bones["root"].matrix if carrier == "BONE" else Matrix())
            ways.append(carried.copy())
    np.testing.assert_allclose(poses[carrier], poses["PELVIS"], atol=2e-4)
    places = np.array([way.translation for way in ways])
    assert np.abs(places[:, 2]).max() < 1e-4  # on the floor
    assert np.ptp(places[:, :2], axis=0).max() > 1  # and on its way
    turn = (ways[-1] @ ways[0].inverted()).to_quaternion()
    assert turn.angle > 0.7  # round the bend
    assert abs(turn.axis.z) > 0.999


def test_character_performs_where_it_stands(scene, tmp_path) -> None:
    source = walk(tmp_path, count=30)
    rig = same_directions(source.armature, 5, scene)
    placed = Matrix.Translation((10, -4, 0)) @ Matrix.Rotation(2.0, 4, "Z")
    rig.armature.matrix_world = placed @ rig.armature.matrix_world
    bpy.context.view_layer.update()
    bones = (rig.bones["left_hip"], rig.bones["right_hip"])
    stood = middle_of_hips(rig.armature, bones)
    go(source, rig.armature, mapped(rig.bones), Options(feet="OFF", place="TARGET"))
    scene.frame_set(source.frames[0])
    np.testing.assert_allclose(middle_of_hips(rig.armature, bones)[:2], stood[:2], atol=1e-3)
    assert np.abs(stood[:2]).max() > 1


def test_in_place_stays_in_place(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 40)
    rig = character("mixamo", scene).armature
    go(source, rig, options=Options(in_place="FULL"))
    places = []
    for frame in range(source.frames[0], source.frames[1] + 1, 3):
        scene.frame_set(frame)
        places.append(middle_of_hips(rig, ("mixamorig:LeftUpLeg", "mixamorig:RightUpLeg")))
    assert np.ptp(np.array(places)[:, :2], axis=0).max() < 1e-4


def test_keys_every_so_many_frames(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 30)
    rig = character("mixamo", scene).armature
    go(source, rig, options=Options(feet="OFF", every=4))
    for curve in curves_of(rig):
        assert [key.co.x for key in curve.keyframe_points] == [*range(1, 30, 4), 30]


# --- nothing is lost


def keyed(rig: bpy.types.Object, name: str) -> bpy.types.Action:
    """The artist's own action on a rig: one bone that turns."""
    bone = rig.pose.bones[0]
    bone.rotation_mode = "QUATERNION"
    bone.keyframe_insert("rotation_quaternion", frame=1)
    action = rig.animation_data.action
    action.name = name
    return action


def content(action: bpy.types.Action) -> list:
    placed = Placed.in_slot(action, "")
    return [
        (curve.data_path, curve.array_index, [tuple(key.co) for key in curve.keyframe_points])
        for curve in placed.curves()
    ]


def test_earlier_action_is_kept_and_comes_back(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 10)
    rig = character("mixamo", scene).armature
    mine = keyed(rig, "Mine")
    before = content(mine)
    made = go(source, rig)
    assert made.earlier.action == mine
    assert rig.animation_data.action == made.action != mine
    assert mine.use_fake_user
    assert content(mine) == before
    again = go(source, rig)  # a second one does not overwrite the first
    assert again.action != made.action
    assert put_back(rig) == made.action
    assert put_back(rig) == mine
    assert rig.animation_data.action == mine
    assert made.action.use_fake_user
    assert again.action.use_fake_user


@pytest.mark.skipif(not HAS_SLOTS, reason="before 4.4 actions have no slots")
def test_action_on_another_slot_comes_back_on_its_slot(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 10)
    rig = character("mixamo", scene).armature
    mine = keyed(rig, "Mine")
    other = mine.slots.new(id_type="OBJECT", name="Other")
    rig.animation_data.action_slot = other
    go(source, rig)
    put_back(rig)
    assert rig.animation_data.action == mine
    assert rig.animation_data.action_slot == other


def test_switches_of_the_rig_are_keyed_and_come_back(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 10)
    rig = character("mixamo", scene).armature
    rig.pose.bones["mixamorig:LeftHand"]["IK_FK"] = 0.0
    rig.pose.bones["mixamorig:LeftHand"]["pole"] = False
    hand = "mixamorig:LeftHand"
    settings = (Setting(hand, "IK_FK", 1.0), Setting(hand, "pole", 1.0), Setting(hand, "absent", 1.0))
    bone_map = BoneMap(detected(rig).bones, settings=settings)
    go(source, rig, bone_map)
    assert rig.pose.bones[hand]["IK_FK"] == 1.0
    assert rig.pose.bones[hand]["pole"] is True
    keys = {curve.data_path for curve in curves_of(rig) if '"]["' in curve.data_path}
    assert keys == {f'pose.bones["{hand}"]["IK_FK"]', f'pose.bones["{hand}"]["pole"]'}
    put_back(rig)
    assert rig.pose.bones[hand]["IK_FK"] == 0.0
    assert rig.pose.bones[hand]["pole"] is False


def test_failure_half_way_leaves_everything_as_it_was(scene, tmp_path, monkeypatch) -> None:
    from recover_motion.retarget import retarget as module

    source = bare_walk(tmp_path, 10)
    rig = character("mixamo", scene).armature
    mine = keyed(rig, "Mine")
    rig.pose.bones["mixamorig:LeftHand"]["IK_FK"] = 0.25
    bone_map = BoneMap(detected(rig).bones, settings=(Setting("mixamorig:LeftHand", "IK_FK", 1.0),))
    names = sorted(action.name for action in bpy.data.actions)

    def fail(*_: object) -> None:
        raise OSError

    for step in ("write_keys", "pose_by_stepping"):
        with monkeypatch.context() as patch:
            patch.setattr(module, step, fail)
            with pytest.raises(OSError):  # noqa: PT011 (the one from above)
                go(source, rig, bone_map)
        assert rig.animation_data.action == mine
        assert sorted(action.name for action in bpy.data.actions) == names
        assert rig.pose.bones["mixamorig:LeftHand"]["IK_FK"] == 0.25


def test_scene_stays_at_its_frame(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 10)
    rig = character("mixamo", scene).armature
    scene.frame_set(7, subframe=0.5)
    made = go(source, rig)
    assert scene.frame_current_final == 7.5
    assert (scene.frame_start, scene.frame_end) == (1, 250)
    assert KEY in made.action


def test_library_override_takes_a_motion(scene, tmp_path) -> None:
    character("mixamo", scene)
    path = tmp_path / "hero.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with bpy.data.libraries.load(str(path), link=True) as (there, here):
        here.objects = list(there.objects)
    for thing in here.objects:
        bpy.context.scene.collection.objects.link(thing)
    linked = next(thing for thing in here.objects if thing.type == "ARMATURE")
    source = bare_walk(tmp_path, 10)
    with pytest.raises(RetargetProblem, match="library override"):
        go(source, linked)
    rig = linked.override_create(remap_local_usages=True)
    rig.override_library.is_system_override = False
    bpy.context.view_layer.update()
    made = go(source, rig)
    assert made.degrees < 0.1
    assert made.action.library is None


# --- rigs that are not simple


def test_locked_rotation_is_respected(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 20)
    rig = character("mixamo", scene).armature
    knee = rig.pose.bones["mixamorig:LeftLeg"]
    knee.rotation_mode, knee.lock_rotation = "XYZ", (False, True, True)
    go(source, rig)
    for curve in curves_of(rig):
        if "LeftLeg" in curve.data_path and curve.array_index > 0:
            assert np.ptp([key.co.y for key in curve.keyframe_points]) == 0


def test_constraint_on_a_mapped_bone_is_told(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 20)
    rig = character("mixamo", scene).armature
    limit = rig.pose.bones["mixamorig:Head"].constraints.new("LIMIT_ROTATION")
    limit.use_limit_x, limit.min_x, limit.max_x, limit.owner_space = True, 0.7, 0.8, "LOCAL"
    made = go(source, rig)
    assert any("mixamorig:Head" in note and "constraints" in note for note in made.notes)


def test_object_that_is_moved_as_well_is_told(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 20)
    rig = character("mixamo", scene).armature
    cart = bpy.data.objects.new("Cart", None)
    scene.collection.objects.link(cart)
    rig.parent = cart
    assert not go(source, rig).notes
    cart.keyframe_insert("location", frame=1)
    cart.location.x = 3
    cart.keyframe_insert("location", frame=20)
    scene.frame_set(1)
    assert any("moved as an object" in note for note in go(source, rig).notes)
    rig.parent = None
    assert not go(source, rig, options=Options(feet="OFF", root="OBJECT")).notes


# --- wrong picks


def test_wrong_picks_are_told(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 5)
    hero = character("mixamo", scene)
    rig, bone_map = hero.armature, detected(hero.armature)
    actions = len(bpy.data.actions)

    def told(
        match: str, target: bpy.types.Object = rig, with_map: BoneMap = bone_map, **options: object
    ) -> None:
        with pytest.raises(RetargetProblem, match=match):
            go(source, target, with_map, Options(**options))
        assert len(bpy.data.actions) == actions

    def changed(**bones: tuple[str, ...]) -> BoneMap:
        return BoneMap(dict(bone_map.bones) | bones)

    told("both source and target", source.armature)
    told("armature of your character", hero.mesh)
    told("left knee", with_map=changed(left_knee=()))
    told("has no bone Shin", with_map=changed(left_knee=("Shin",)))
    told("chosen twice", with_map=changed(left_knee=bone_map.bones["left_hip"]))
    told("root bone", root="BONE")
    parent = bpy.data.objects.new("Horse", None)
    scene.collection.objects.link(parent)
    rig.parent = parent
    told("child of Horse", root="OBJECT")
    rig.parent = None
    rig.scale = (1, 1, 1.1)
    bpy.context.view_layer.update()
    told("Apply its scale")
    rig.scale = (-1, 1, 1)
    bpy.context.view_layer.update()
    told("mirrored")
    rig.scale = (1, 1, 1)
    bpy.context.view_layer.update()
    rig.data.pose_position = "REST"
    told("rest position")
    rig.data.pose_position = "POSE"
    with edit_mode(bpy.context, rig):
        told("Edit Mode")
    rig.pose.bones["mixamorig:Hips"].lock_location = (True, False, False)
    told("locked")
    rig.pose.bones["mixamorig:Hips"].lock_location = (False, False, False)
    told("connected|cannot move", with_map=changed(pelvis=("mixamorig:Spine2",), spine3=()))


def test_target_without_skin_is_told_and_works(scene, tmp_path) -> None:
    source = bare_walk(tmp_path, 5)
    hero = character("mixamo", scene)
    bpy.data.objects.remove(hero.mesh)
    made = go(source, hero.armature, options=Options())
    assert any("no skin" in note for note in made.notes)


def test_frames_and_name_that_were_asked_for(scene, tmp_path: Path) -> None:
    source = bare_walk(tmp_path, 20)
    rig = character("mixamo", scene).armature
    made = go(source, rig, frames=(5, 9), name="Hero.walk")
    assert made.frame_range == (5, 9)
    assert made.action.name == "Hero.walk"
    assert tuple(made.action.curve_frame_range) == (5, 9)
