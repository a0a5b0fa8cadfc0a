# SPDX-License-Identifier: GPL-3.0-or-later
"""read_back: a file that is wrong in one respect is found out, and which one is said."""

import json
import struct
from dataclasses import replace

import bpy
import numpy as np
import pytest
from recover_motion.export.baked_pose import Placement
from recover_motion.export.importers import gltf_times, imported
from recover_motion.export.options import ExportOptions
from recover_motion.export.read_back import Expected, ReadBackProblem, in_words, read_back
from recover_motion.export.sampling import sample
from recover_motion.export.stand_in import stand_in
from recover_motion.export.usd_rate import usd_rate
from recover_motion.export.windows import windows_kept
from recover_motion.export.writers import placement_of, write

pytestmark = pytest.mark.bpy


@pytest.fixture
def written(recovered, scene, tmp_path):
    """Writes a file, and what must be in it."""

    def to(kind):
        options = ExportOptions(preset="MAYA")
        sampled = sample(scene, recovered, [], options)
        placement = placement_of(kind, options, 1.0)
        path = tmp_path / f"a.{ {'USD': 'usdc'}.get(kind, kind.lower()) }"
        made = stand_in(
            bpy.context, recovered, [], sampled, placement, deform_only=False, scaled=True, name="a"
        )
        with windows_kept(bpy.context), made as figure:
            write(bpy.context, figure, kind, options, path)
            order = [sampled.names.index(name) for name in figure.bones]
            heads = sampled.heads[:, order]
            return path, Expected(sampled.frames, sampled.fps, figure.bones, heads)

    return to


def check(path, kind, expected):
    with windows_kept(bpy.context):
        return read_back(bpy.context, path, kind, expected)


@pytest.mark.parametrize("kind", ["FBX", "BVH", "GLB", "USD"])
def test_each_difference_is_found(kind, written):
    path, expected = written(kind)
    assert check(path, kind, expected).off < 1e-4

    moved = expected.heads.copy()
    moved[5, expected.names.index("left_knee")] += (0, 0.0012, 0)
    with pytest.raises(ReadBackProblem, match=r"left_knee is 1\.2 mm off at frame 6"):
        check(path, kind, replace(expected, heads=moved))

    with pytest.raises(ReadBackProblem, match="8 frames instead of 7"):
        check(path, kind, replace(expected, frames=expected.frames[:-1], heads=expected.heads[:-1]))

    with pytest.raises(ReadBackProblem, match=r"instead of 29\.97"):
        check(path, kind, replace(expected, fps=29.97))

    with pytest.raises(ReadBackProblem, match="lacks the bone tail"):
        check(path, kind, replace(expected, names=(*expected.names[:-1], "tail")))

    if kind != "BVH":
        with pytest.raises(ReadBackProblem, match="0 skinned meshes instead of 1"):
            check(path, kind, replace(expected, skins=1))


@pytest.mark.parametrize("kind", ["FBX", "USD"])
def test_a_shifted_range_is_found(kind, written):
    path, expected = written(kind)
    with pytest.raises(ReadBackProblem, match="from frame 1 to 8 instead of 2 to 9"):
        check(path, kind, replace(expected, frames=expected.frames + 1))


def test_skins_that_do_not_follow_are_found(recovered, scene, tmp_path):
    skin = recovered.children[0]
    options = ExportOptions()
    sampled = sample(scene, recovered, [skin], options)
    made = stand_in(
        bpy.context,
        recovered,
        [skin],
        sampled,
        Placement(np.eye(3), 1.0),
        deform_only=False,
        scaled=True,
        name="a",
    )
    with windows_kept(bpy.context), made as figure:
        write(bpy.context, figure, "GLB", options, tmp_path / "a.glb")
        order = [sampled.names.index(name) for name in figure.bones]
        nowhere = np.array([[(0, 0, 0), (1, 1, 1)]] * 2, float)
        expected = Expected(sampled.frames, 30.0, figure.bones, sampled.heads[:, order], 1, nowhere)
    with pytest.raises(ReadBackProblem, match=r"the skin reaches .* at frame 1"):
        check(tmp_path / "a.glb", "GLB", expected)


def test_nothing_is_left_of_what_was_read(written):
    path, _ = written("GLB")
    before = {kind: set(getattr(bpy.data, kind)) for kind in ("objects", "actions", "armatures", "scenes")}
    with windows_kept(bpy.context), imported(bpy.context, path, "GLB", 30.0, 1) as scene:
        assert any(thing.type == "ARMATURE" for thing in scene.objects)
    assert {kind: set(getattr(bpy.data, kind)) for kind in before} == before


def test_times_of_a_gltf_file(tmp_path):
    times = np.array([0, 0.5, 1.0], "<f4")
    document = {
        "animations": [{"samplers": [{"input": 0}]}],
        "accessors": [{"bufferView": 0, "count": 3}],
        "bufferViews": [{"byteOffset": 4}],
    }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    binary = b"\0\0\0\0" + times.tobytes()
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    chunks += struct.pack("<II", len(binary), 0x004E4942) + binary
    (tmp_path / "a.glb").write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
    np.testing.assert_array_equal(gltf_times(tmp_path / "a.glb"), times)
    document["buffers"] = [{"uri": "a%20b.bin"}]
    (tmp_path / "a.gltf").write_text(json.dumps(document))
    (tmp_path / "a b.bin").write_bytes(binary)
    np.testing.assert_array_equal(gltf_times(tmp_path / "a.gltf"), times)


def test_rate_of_a_usd_file(scene, tmp_path):
    bpy.ops.mesh.primitive_monkey_add()
    for rate in ((24, 1.0), (30, 1.001), (60, 1.001), (120, 1.0)):
        scene.render.fps, scene.render.fps_base = rate
        for suffix in (".usda", ".usdc"):
            path = tmp_path / f"{rate[0]}{suffix}"
            bpy.ops.wm.usd_export(filepath=str(path), export_animation=True)
            assert usd_rate(path) == pytest.approx(rate[0] / rate[1], rel=1e-6)


def test_no_usd_file(tmp_path):
    for data in (b"", b"glTF", b"PXR-USDC" + bytes(40), b"PXR-USDC\0"):
        (tmp_path / "a.usd").write_bytes(data)
        with pytest.raises(ValueError, match=r"no USD file|damaged"):
            usd_rate(tmp_path / "a.usd")


def test_words():
    assert in_words(120, 30, 2e-5, "joints") == "120 frames at 30 fps read back, joints within 0.02 mm"
    assert in_words(1, 30000 / 1001, 0, "joints") == "1 frame at 29.97 fps read back, joints within 0.01 mm"
