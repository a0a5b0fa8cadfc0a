# SPDX-License-Identifier: GPL-3.0-or-later
"""import_motion.py: what stands in the scene afterwards is what the files say, to the millimetre."""

import json
from pathlib import Path

import bpy
import numpy as np
import pytest
from recover_motion import import_motion as module
from recover_motion.action import WRITTEN
from recover_motion.array_file import ImportProblem
from recover_motion.compat import curves_of
from recover_motion.confidence import CONFIDENCE, bone_path
from recover_motion.import_motion import import_motion
from recover_motion.provenance import KEY
from smpl_reference import (
    NAMES,
    BodyArrays,
    forward_kinematics,
    motion_arrays,
    skinned,
    sphere_body,
    write_motion,
)

pytestmark = pytest.mark.bpy

MILLIMETRE = 1e-3


@pytest.fixture
def synthetic(synthetic_body_path: Path) -> BodyArrays:
    return BodyArrays.load(synthetic_body_path)


def joints_in_blender(armature: bpy.types.Object) -> np.ndarray:
    """Heads of the evaluated pose bones in the world, in SMPL's order."""
    posed = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return np.array([posed.matrix_world @ posed.pose.bones[name].head for name in NAMES])


def vertices_in_blender(thing: bpy.types.Object) -> np.ndarray:
    """Vertices of the evaluated mesh in the world."""
    posed = thing.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = posed.to_mesh()
    try:
        return np.array([posed.matrix_world @ vertex.co for vertex in mesh.vertices])
    finally:
        posed.to_mesh_clear()


def frame_of(arrays: dict[str, np.ndarray], index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Betas, pose and translation of a frame."""
    return (
        arrays["betas"].astype(float),
        arrays["poses"][index].reshape(24, 3).astype(float),
        arrays["trans"][index].astype(float),
    )


def census() -> dict[str, list[str]]:
    """Everything that Blender holds, by kind."""
    kinds = ("objects", "meshes", "armatures", "cameras", "actions", "materials", "collections")
    kinds += ("shape_keys", "movieclips", "images", "scenes", "texts")
    return {kind: sorted(block.name for block in getattr(bpy.data, kind)) for kind in kinds}


# --- positions


@pytest.mark.parametrize("seed", range(3))
def test_joints_and_skin_are_smpls(scene, body, tmp_path, seed):
    arrays = motion_arrays(5, seed)
    path = write_motion(tmp_path / "clip.person01.npz", count=5, seed=seed)
    result = import_motion(bpy.context, [path], body_path=body.path)
    for index in range(5):
        scene.frame_set(1 + index)
        betas, pose, trans = frame_of(arrays, index)
        vertices, joints = skinned(body, betas, pose, trans)
        assert np.abs(joints_in_blender(result.armatures[0]) - joints).max() < MILLIMETRE
        assert np.abs(vertices_in_blender(result.meshes[0]) - vertices).max() < MILLIMETRE


def test_a_standing_figure_stands(scene, body, tmp_path):
    """Body y up to world z up is the rotation of a neutral figure; its pelvis is trans + J0, not turned."""
    poses = np.zeros((1, 72))
    poses[:, 0] = np.pi / 2
    path = write_motion(
        tmp_path / "clip.person01.npz",
        count=1,
        poses=poses,
        trans=np.array([[0.3, 2, 1.2]]),
        betas=np.zeros(10),
    )
    result = import_motion(bpy.context, [path], body_path=body.path)
    rest = body.rest_joints(np.zeros(10))
    joints = joints_in_blender(result.armatures[0])
    np.testing.assert_allclose(joints[0], rest[0] + [0.3, 2, 1.2], atol=1e-5)
    assert joints[15, 2] > joints[0, 2] + 0.4  # head over pelvis
    toes = joints[10:12].mean(axis=0) - joints[7:9].mean(axis=0)
    assert toes[1] < -0.05  # facing -y, Blender's front view


def test_the_pose_is_there_without_moving_the_timeline(scene, synthetic, tmp_path):
    path = write_motion(tmp_path / "clip.person01.npz", count=5)
    scene.frame_set(3)
    result = import_motion(bpy.context, [path], body_path=synthetic.path)
    betas, pose, trans = frame_of(motion_arrays(5, 0), 2)
    joints, _ = forward_kinematics(synthetic.rest_joints(betas), pose, trans)
    assert np.abs(joints_in_blender(result.armatures[0]) - joints).max() < MILLIMETRE


def test_several_people(scene, synthetic, tmp_path):
    paths = [write_motion(tmp_path / f"clip.person0{n}.npz", count=3, seed=n) for n in (1, 2, 3)]
    result = import_motion(bpy.context, paths, body_path=synthetic.path)
    assert [thing.name for thing in result.armatures] == ["clip.person01", "clip.person02", "clip.person03"]
    scene.frame_set(2)
    for number, armature in enumerate(result.armatures, start=1):
        betas, pose, trans = frame_of(motion_arrays(3, number), 1)
        joints, _ = forward_kinematics(synthetic.rest_joints(betas), pose, trans)
        assert np.abs(joints_in_blender(armature) - joints).max() < MILLIMETRE


# --- time


@pytest.mark.parametrize(
    ("clip_rate", "fps", "fps_base"),
    [(30, 24, 1.0), (24, 60, 1.0), (60, 24, 1.001), (30000 / 1001, 30, 1.001), (None, 25, 1.0)],
)
def test_scene_rate_and_clip_rate(scene, synthetic, tmp_path, clip_rate, fps, fps_base):
    """A figure that turns and walks steadily is known at every time, between the samples too."""
    scene.render.fps, scene.render.fps_base = fps, fps_base
    times = (
        np.arange(40) / clip_rate
        if clip_rate
        else np.cumsum(np.random.default_rng(1).uniform(0.01, 0.08, 40))
    )
    poses = np.zeros((40, 24, 3))
    poses[:, 0] = times[:, None] * (0, 0, 4.0)
    poses[:, 18] = times[:, None] * (0.5, -2, 0.3)
    trans = times[:, None] * np.array([0.5, -1, 0.1])
    path = write_motion(
        tmp_path / "clip.person01.npz",
        count=40,
        timestamps=times,
        poses=poses.reshape(40, 72),
        trans=trans,
        betas=np.zeros(10),
        mocap_framerate=np.float64(clip_rate or 25),
    )
    result = import_motion(bpy.context, [path], body_path=synthetic.path, start_frame=101)
    assert (scene.render.fps, scene.render.fps_base) == (fps, pytest.approx(fps_base))
    first, last = result.frame_range
    rate = fps / fps_base
    assert abs(first - (101 + times[0] * rate)) <= 0.5
    assert abs(last - (101 + times[-1] * rate)) <= 0.5
    rest = synthetic.rest_joints(np.zeros(10))
    for frame in range(first, last + 1):
        scene.frame_set(frame)
        time = np.clip((frame - 101) / rate, times[0], times[-1])
        pose = np.zeros((24, 3))
        pose[0], pose[18] = time * np.array([0, 0, 4.0]), time * np.array([0.5, -2, 0.3])
        joints, _ = forward_kinematics(rest, pose, time * np.array([0.5, -1, 0.1]))
        assert np.abs(joints_in_blender(result.armatures[0]) - joints).max() < MILLIMETRE


def test_the_scenes_start_is_the_clips_start(scene, synthetic, tmp_path):
    scene.frame_start, scene.frame_end = 1001, 1100
    late = {"frame_indices": np.arange(30, 35), "timestamps": np.arange(30, 35) / 30.0}
    path = write_motion(tmp_path / "clip.person01.npz", **late)
    result = import_motion(bpy.context, [path], body_path=synthetic.path)
    assert result.frame_range == (1031, 1035)
    assert (scene.frame_start, scene.frame_end) == (1001, 1100)


# --- the action


def test_keys(scene, synthetic, tmp_path):
    path = write_motion(tmp_path / "clip.person01.npz", count=6)
    result = import_motion(bpy.context, [path], body_path=synthetic.path)
    armature = result.armatures[0]
    curves = {(curve.data_path, curve.array_index): curve for curve in curves_of(armature)}
    expected = {(f'pose.bones["{name}"].rotation_quaternion', axis) for name in NAMES for axis in range(4)}
    expected |= {('pose.bones["pelvis"].location', axis) for axis in range(3)}
    sure = {(f'["{CONFIDENCE}"]', 0)} | {(bone_path(name), 0) for name in NAMES}
    assert set(curves) == expected | sure
    assert {path for path, _ in curves} == WRITTEN
    for (path, axis), curve in curves.items():
        frames = [key.co.x for key in curve.keyframe_points]
        if (path, axis) in sure:
            assert (frames[0], frames[-1]) == (1, 6)
            assert curve.group.name == "Confidence"
        else:
            assert frames == [1, 2, 3, 4, 5, 6]
            assert curve.group.name == path.split('"')[1]
        assert {key.interpolation for key in curve.keyframe_points} == {"LINEAR"}
    assert {bone.rotation_mode for bone in armature.pose.bones} == {"QUATERNION"}
    assert result.actions[0] == armature.animation_data.action


def test_quaternions_never_jump(scene, synthetic, tmp_path):
    poses = np.zeros((120, 24, 3))
    poses[:, 0, 2] = np.linspace(0, 20, 120)  # three turns: the shortest axis-angle flips on the way
    poses[:, 4, 0] = np.linspace(-7, 7, 120)
    path = write_motion(tmp_path / "clip.person01.npz", count=120, poses=poses.reshape(120, 72))
    result = import_motion(bpy.context, [path], body_path=synthetic.path)
    for bone in ("pelvis", "left_knee"):
        values = np.array(
            [
                [key.co.y for key in curve.keyframe_points]
                for curve in curves_of(result.armatures[0])
                if curve.data_path == f'pose.bones["{bone}"].rotation_quaternion'
            ]
        )
        assert np.abs(np.diff(values)).max() < 0.2


def test_confidence_is_animated(scene, synthetic, tmp_path):
    confidence = motion_arrays(5, 0)["confidence"]
    path = write_motion(tmp_path / "clip.person01.npz")
    armature = import_motion(bpy.context, [path], body_path=synthetic.path).armatures[0]
    scene.frame_set(4)
    assert armature[CONFIDENCE] == pytest.approx(confidence[3].mean(), abs=0.0201)
    stored = [armature.pose.bones[name][CONFIDENCE] for name in NAMES]
    np.testing.assert_allclose(stored, confidence[3], atol=0.0201)
    assert armature.id_properties_ui(CONFIDENCE).as_dict()["max"] == 1.0


def test_takes_can_be_swapped(scene, synthetic, tmp_path):
    """One take's action put on the other's armature moves it, with nothing else to set."""
    same_shape = np.zeros(10)
    paths = [write_motion(tmp_path / f"take{n}.person01.npz", seed=n, betas=same_shape) for n in (1, 2)]
    takes = [import_motion(bpy.context, [path], body_path=synthetic.path) for path in paths]
    takes[0].armatures[0].animation_data.action = takes[1].actions[0]
    scene.frame_set(3)
    _, pose, trans = frame_of(motion_arrays(5, 2), 2)
    joints, _ = forward_kinematics(synthetic.rest_joints(same_shape), pose, trans)
    for take in takes:
        assert np.abs(joints_in_blender(take.armatures[0]) - joints).max() < MILLIMETRE
    assert takes[0].actions[0].users >= 1  # taken off, and still kept


# --- what the scene is told


def test_names_and_places(scene, synthetic, tmp_path):
    paths = [write_motion(tmp_path / f"Café tanz.v2.person0{n}.npz", seed=n) for n in (1, 2)]
    result = import_motion(bpy.context, paths, body_path=synthetic.path)
    assert result.collection.name == "Café tanz.v2"
    assert result.collection.name in scene.collection.children
    names = {thing.name for thing in result.collection.objects}
    people = {f"Café tanz.v2.person0{n}" for n in (1, 2)}
    assert names == people | {f"{person}.body" for person in people} | {"Café tanz.v2.camera"}
    assert [action.name for action in result.actions] == sorted(people)
    assert {thing.data.name for thing in result.armatures} == people
    assert result.camera is not None
    assert scene.camera == result.camera


def test_long_names_stay_apart(scene, synthetic, tmp_path):
    paths = [write_motion(tmp_path / f"{'né' * 60}.person0{n}.npz", seed=n) for n in (1, 2)]
    result = import_motion(bpy.context, paths, body_path=synthetic.path)
    assert [thing.name[-9:] for thing in result.armatures] == [".person01", ".person02"]
    assert [thing.name[-14:] for thing in result.meshes] == [".person01.body", ".person02.body"]


def test_provenance_survives_saving(scene, synthetic, tmp_path):
    path = write_motion(tmp_path / "clip.person01.npz")
    import_motion(bpy.context, [path], body_path=synthetic.path)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    blocks = bpy.data.objects, bpy.data.actions, bpy.data.collections
    for block in [blocks[0]["clip.person01"], blocks[1]["clip.person01"], blocks[2]["clip"]]:
        origin = block[KEY].to_dict()
        assert (origin["version"], origin["model"], origin["body"]) == ("0.1.0", "open", "open")
        assert json.loads(origin["settings"]) == {"smooth": 1.5, "people": [1, 2], "start": None}
        assert json.loads(origin["footage"])["sha256"] == "0" * 64
        assert json.loads(origin["licences"])["weights"] == "Apache-2.0"
        assert origin["body_licence"] == "CC0-1.0"
    assert len(list(curves_of(bpy.data.objects["clip.person01"]))) == 124


def test_render_size_only_when_asked(scene, synthetic, tmp_path):
    path = write_motion(tmp_path / "clip.person01.npz", image_size=np.array([720, 1280]))
    before = (scene.render.resolution_x, scene.render.resolution_y)
    import_motion(bpy.context, [path], body_path=synthetic.path)
    assert (scene.render.resolution_x, scene.render.resolution_y) == before
    import_motion(bpy.context, [path], body_path=synthetic.path, set_render_size=True)
    assert (scene.render.resolution_x, scene.render.resolution_y) == (720, 1280)


def test_no_camera_when_not_wanted(scene, synthetic, tmp_path):
    path = write_motion(tmp_path / "clip.person01.npz")
    result = import_motion(bpy.context, [path], body_path=synthetic.path, use_camera=False)
    assert result.camera is None
    assert scene.camera is None
    assert len(bpy.data.cameras) == 0


def test_missing_footage_costs_only_the_backdrop(scene, synthetic, tmp_path):
    path = write_motion(tmp_path / "clip.person01.npz")
    result = import_motion(bpy.context, [path], body_path=synthetic.path, footage=str(tmp_path / "gone.mp4"))
    assert len(result.armatures) == 1
    assert result.camera is not None
    assert len(result.camera.data.background_images) == 0
    assert any("gone.mp4" in note for note in result.notes)


def test_the_scene_of_the_context_is_used(scene, synthetic, tmp_path):
    other = bpy.data.scenes.new("other")
    other.render.fps, other.frame_start = 60, 11
    path = write_motion(tmp_path / "clip.person01.npz")
    with bpy.context.temp_override(scene=other, view_layer=other.view_layers[0]):
        result = import_motion(bpy.context, [path], body_path=synthetic.path)
    assert result.frame_range == (11, 19)
    assert result.collection.name in other.collection.children
    assert not scene.collection.children
    assert (scene.camera, other.camera) == (None, result.camera)


# --- bodies


def test_the_open_body_is_the_default(scene, open_body_path, tmp_path):
    path = write_motion(tmp_path / "clip.person01.npz")
    result = import_motion(bpy.context, [path])
    assert len(result.meshes[0].data.vertices) == len(BodyArrays.load(open_body_path).v_template)
    assert result.notes == ()


def other_body(**more: object) -> np.ndarray:
    return np.array(json.dumps({"schema": 1, "body": "mine"} | more))


@pytest.mark.parametrize("body", ["mine", {"name": "mine", "sha256": "1"}])
def test_another_body_lies_beside_the_motion(scene, tmp_path, body):
    sphere_body(seed=1).save(tmp_path / "clip.v2.body.npz")
    path = write_motion(tmp_path / "clip.v2.person01.npz", meta=other_body(body=body))
    result = import_motion(bpy.context, [path])
    assert len(result.meshes[0].data.vertices) == 24 * 6


def test_another_body_that_is_gone(scene, tmp_path):
    path = write_motion(tmp_path / "clip.person01.npz", meta=other_body())
    with pytest.raises(ImportProblem, match=r"'mine'.*clip\.body\.npz"):
        import_motion(bpy.context, [path])


def test_plain_amass(scene, synthetic, tmp_path):
    random = np.random.default_rng(4)
    poses, trans, betas = (
        random.normal(0, 0.5, (8, 156)),
        random.normal(0, 1, (8, 3)),
        random.normal(0, 1, 16),
    )
    path = tmp_path / "walk.npz"
    np.savez(path, poses=poses, trans=trans, betas=betas, mocap_framerate=60.0, gender="male")
    result = import_motion(bpy.context, [path], body_path=synthetic.path)
    assert result.armatures[0].name == "walk.person01"
    assert result.camera is None
    assert result.frame_range == (1, 4)
    scene.frame_set(3)
    pose = np.concatenate([poses[4, :66], np.zeros(6)]).reshape(24, 3)
    joints, _ = forward_kinematics(synthetic.rest_joints(betas[:10]), pose, trans[4])
    assert np.abs(joints_in_blender(result.armatures[0]) - joints).max() < MILLIMETRE


def test_smpls_shape_is_not_given_to_the_open_body(scene, open_body_path, tmp_path):
    path = tmp_path / "walk.npz"
    np.savez(path, poses=np.zeros((2, 72)), trans=np.zeros((2, 3)), betas=np.ones(10), mocap_framerate=30.0)
    result = import_motion(bpy.context, [path])
    keys = result.meshes[0].data.shape_keys.key_blocks
    assert [key.value for key in keys[1:]] == [0.0] * 10
    assert any("shape" in note for note in result.notes)


# --- failures


def test_files_of_two_clips_are_refused(scene, synthetic, tmp_path):
    paths = [write_motion(tmp_path / f"{clip}.person01.npz") for clip in ("a", "b")]
    with pytest.raises(ImportProblem, match="different clips: a, b"):
        import_motion(bpy.context, paths, body_path=synthetic.path)
    with pytest.raises(ImportProblem, match="No motion file"):
        import_motion(bpy.context, [])


def test_one_bad_file_and_nothing_is_imported(scene, synthetic, tmp_path):
    good, bad = write_motion(tmp_path / "clip.person01.npz"), tmp_path / "clip.person02.npz"
    bad.write_bytes(good.read_bytes()[:-500])
    before = census()
    with pytest.raises(ImportProblem, match="person02"):
        import_motion(bpy.context, [good, bad], body_path=synthetic.path)
    assert census() == before


@pytest.mark.parametrize("step", ["build_armature", "build_mesh", "key_motion", "stamp", "set_resolution"])
def test_nothing_is_left_of_an_import_that_fails(scene, synthetic, tmp_path, monkeypatch, step):
    mine = bpy.data.objects.new("clip.person01", bpy.data.armatures.new("mine"))
    scene.collection.objects.link(mine)
    my_camera = bpy.data.objects.new("my camera", bpy.data.cameras.new("my camera"))
    scene.collection.objects.link(my_camera)
    scene.camera = my_camera
    bpy.context.view_layer.objects.active = mine
    mine.select_set(True)
    bpy.ops.object.mode_set(mode="POSE")
    before = census()

    done = getattr(module, step)
    calls = []

    def failing(*arguments: object) -> object:
        """The second person's turn fails, after its work is done."""
        result = done(*arguments)
        calls.append(step)
        if step == "set_resolution" or len(calls) == 2:
            raise MemoryError("no more")
        return result

    monkeypatch.setattr(module, step, failing)
    paths = [write_motion(tmp_path / f"clip.person0{n}.npz", seed=n) for n in (1, 2)]
    with pytest.raises(MemoryError):
        import_motion(bpy.context, paths, body_path=synthetic.path, set_render_size=True)

    assert census() == before
    assert scene.camera == my_camera
    assert scene.render.resolution_y == 1080
    assert (bpy.context.view_layer.objects.active, mine.mode, mine.select_get()) == (mine, "POSE", True)


def test_importing_twice_leaves_the_first_alone(scene, synthetic, tmp_path):
    path = write_motion(tmp_path / "clip.person01.npz")
    first = import_motion(bpy.context, [path], body_path=synthetic.path)
    names = [thing.name for thing in first.collection.objects]
    second = import_motion(bpy.context, [path], body_path=synthetic.path)
    assert [thing.name for thing in first.collection.objects] == names
    assert second.collection != first.collection
    assert second.armatures[0].animation_data.action != first.armatures[0].animation_data.action
