# SPDX-License-Identifier: GPL-3.0-or-later
"""confidence_view.py: the skin shows how sure the motion is, and looks as before when it no longer does."""

import bpy
import numpy as np
import pytest
import recover_motion
from recover_motion.confidence import CONFIDENCE
from recover_motion.confidence_view import RAMP, SHOWN, bodies_with_confidence, is_shown
from recover_motion.import_motion import import_motion
from smpl_reference import write_motion

pytestmark = pytest.mark.bpy


@pytest.fixture
def addon(scene):
    recover_motion.register()
    yield
    recover_motion.unregister()


@pytest.fixture
def people(addon, synthetic_body_path, tmp_path):
    """Two people; the first grows sure while the second gets lost."""
    ramp = np.linspace(0, 1, 5)[:, None].repeat(24, axis=1)
    paths = [
        write_motion(tmp_path / f"clip.person0{n}.npz", confidence=values.astype(np.float32))
        for n, values in ((1, ramp), (2, ramp[::-1]))
    ]
    return import_motion(bpy.context, paths, body_path=synthetic_body_path)


def colours(value: float) -> list[float]:
    """The ramp's colour for a confidence, on straight lines."""
    stops = [stop for stop, _ in RAMP]
    return [np.interp(value, stops, [colour[channel] for _, colour in RAMP]) for channel in range(3)]


def toggle() -> None:
    assert bpy.ops.recover_motion.show_confidence() == {"FINISHED"}


def test_the_skin_follows_the_confidence(scene, people):
    toggle()
    for frame in range(1, 6):
        scene.frame_set(frame)
        depsgraph = bpy.context.evaluated_depsgraph_get()
        for body, value in zip(people.meshes, ((frame - 1) / 4, (5 - frame) / 4), strict=True):
            assert is_shown(body)
            shown = body.evaluated_get(depsgraph)
            assert shown[CONFIDENCE] == pytest.approx(value, abs=1e-5)
            material = body.material_slots[0].material.evaluated_get(depsgraph)
            np.testing.assert_allclose(material.diffuse_color[:3], colours(value), atol=1e-3)


def test_the_render_reads_the_bodys_property(people):
    toggle()
    material = people.meshes[0].material_slots[0].material
    attribute = next(node for node in material.node_tree.nodes if node.type == "ATTRIBUTE")
    assert (attribute.attribute_type, attribute.attribute_name) == ("OBJECT", CONFIDENCE)
    (to_ramp,) = attribute.outputs["Fac"].links
    assert to_ramp.to_node.type == "VALTORGB"
    (to_shader,) = to_ramp.to_node.outputs["Color"].links
    assert (to_shader.to_node.type, to_shader.to_socket.name) == ("BSDF_PRINCIPLED", "Base Color")
    for stop, (position, colour) in zip(to_ramp.to_node.color_ramp.elements, RAMP, strict=True):
        assert stop.position == pytest.approx(position)
        assert tuple(stop.color)[:3] == pytest.approx(colour)


def test_off_again_everything_is_as_before(people):
    bodies = people.meshes
    own = bpy.data.materials.new("of the object's own slot")
    bodies[1].material_slots[0].link = "OBJECT"
    bodies[1].material_slots[0].material = own
    before = [
        (body.material_slots[0].link, body.material_slots[0].material, sorted(body.keys())) for body in bodies
    ]
    materials = sorted(material.name for material in bpy.data.materials)
    toggle()
    assert all(is_shown(body) for body in bodies)
    toggle()
    assert [
        (body.material_slots[0].link, body.material_slots[0].material, sorted(body.keys())) for body in bodies
    ] == before
    assert sorted(material.name for material in bpy.data.materials) == materials
    for body in bodies:
        assert not body.animation_data or not body.animation_data.drivers


def test_selected_bodies_alone(people):
    people.armatures[1].select_set(True)
    toggle()
    assert [is_shown(body) for body in people.meshes] == [False, True]
    people.armatures[1].select_set(False)
    toggle()  # not all show it yet: now they do
    assert [is_shown(body) for body in people.meshes] == [True, True]
    assert len([material for material in bpy.data.materials if SHOWN in material]) == 2


def test_it_survives_saving_and_a_second_import(people, synthetic_body_path, tmp_path):
    toggle()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    flat = np.full((5, 24), 0.25, np.float32)
    path = write_motion(tmp_path / "clip.person01.npz", confidence=flat)
    import_motion(bpy.context, [path], body_path=synthetic_body_path, existing="REPLACE")
    body = bpy.data.objects["clip.person01.body"]
    bpy.context.scene.frame_set(3)
    assert body.evaluated_get(bpy.context.evaluated_depsgraph_get())[CONFIDENCE] == pytest.approx(0.25)
    toggle()
    assert body.material_slots[0].material.name == "clip.person01.body"


def test_undo(people):
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.recover_motion.show_confidence("EXEC_DEFAULT", True)
    assert len([material for material in bpy.data.materials if SHOWN in material]) == 2
    bpy.ops.ed.undo()
    assert not [material for material in bpy.data.materials if SHOWN in material]
    assert not any(is_shown(body) for body in bodies_with_confidence(bpy.context.scene))


def test_what_is_parented_to_the_rig_is_no_body(people):
    hat = bpy.data.objects.new("hat", bpy.data.meshes.new("hat"))
    bpy.context.scene.collection.objects.link(hat)
    hat.parent = people.armatures[0]
    assert bodies_with_confidence(bpy.context.scene) == list(people.meshes)


def test_nothing_to_show(addon):
    assert not bpy.ops.recover_motion.show_confidence.poll()
    with pytest.raises(RuntimeError, match="poll"):
        bpy.ops.recover_motion.show_confidence()
