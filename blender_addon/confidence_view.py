# SPDX-License-Identifier: GPL-3.0-or-later
"""Confidence as the colour of the skin, switched on and off without touching the artist's materials.

While it is shown, each body has a property `confidence` that follows its armature's, and a material that
reads it: through an Attribute node in renders and in Material Preview, through its viewport colour in Solid
mode. The material sits in the object's own slots, so that those of the mesh come back as they were.
"""

from __future__ import annotations

from typing import Final

import bpy

from .compat import shader_nodes
from .confidence import CONFIDENCE, OBJECT_PATH
from .mesh import rig_of
from .provenance import KEY

SHOWN: Final = "recover_motion_confidence"
"""Custom property of the material that shows confidence."""

_HIDDEN: Final = "recover_motion_hidden_material"
"""Start of the names of a body's properties that remember materials of its own slots."""

RAMP: Final = (
    (0.0, (0.45, 0.0, 0.10)),
    (0.4, (0.85, 0.25, 0.05)),
    (0.7, (0.95, 0.75, 0.25)),
    (1.0, (0.20, 0.50, 0.75)),
)
"""Confidence and colour (linear RGB): lost is dark red, sure is blue; told apart with any colour vision."""


def bodies_with_confidence(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The recovered bodies of a scene whose armatures know how sure they are."""
    return [
        thing
        for thing in scene.objects
        if thing.library is None
        and (armature := rig_of(thing)) is not None
        and KEY in armature
        and CONFIDENCE in armature
    ]


def is_shown(body: bpy.types.Object) -> bool:
    """Whether a body's skin shows its confidence."""
    return any(slot.material is not None and SHOWN in slot.material for slot in body.material_slots)


def show(body: bpy.types.Object) -> None:
    """Colour a body's skin by its armature's confidence."""
    if is_shown(body) or not body.material_slots:
        return
    body[CONFIDENCE] = 1.0
    body.id_properties_ui(CONFIDENCE).update(min=0.0, max=1.0, description="Follows the armature's")
    armature = rig_of(body)
    _follow(body.driver_add(OBJECT_PATH), armature)
    material = _material(f"{body.name}.confidence", armature)
    for index, slot in enumerate(body.material_slots):
        if slot.link == "OBJECT":
            body[f"{_HIDDEN}_{index}"] = slot.material or ""
        slot.link = "OBJECT"
        slot.material = material


def hide(body: bpy.types.Object) -> None:
    """Give a body its materials back."""
    for index, slot in enumerate(body.material_slots):
        if slot.material is None or SHOWN not in slot.material:
            continue
        material, name = slot.material, f"{_HIDDEN}_{index}"
        if name in body:
            slot.material = body[name] or None
            del body[name]
        else:
            slot.material = None
            slot.link = "DATA"
        if material.users == 0:
            bpy.data.materials.remove(material)
    body.driver_remove(OBJECT_PATH)
    if CONFIDENCE in body:
        del body[CONFIDENCE]


def _material(name: str, armature: bpy.types.Object) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    material[SHOWN] = True
    nodes = shader_nodes(material)
    links = material.node_tree.links
    shader = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Roughness"].default_value = 0.6

    attribute = nodes.new("ShaderNodeAttribute")
    attribute.attribute_type = "OBJECT"
    attribute.attribute_name = CONFIDENCE
    attribute.location = (-600, 200)
    ramp = nodes.new("ShaderNodeValToRGB")
    ramp.location = (-350, 200)
    stops = ramp.color_ramp.elements
    while len(stops) < len(RAMP):
        stops.new(0.5)
    for stop, (position, colour) in zip(stops, RAMP, strict=True):
        stop.position, stop.color = position, (*colour, 1.0)
    links.new(attribute.outputs["Fac"], ramp.inputs["Fac"])
    links.new(ramp.outputs["Color"], shader.inputs["Base Color"])

    for channel in range(3):  # in the solid viewport
        curve = material.driver_add("diffuse_color", channel)
        _follow(curve, armature)
        _map(curve, [(position, colour[channel]) for position, colour in RAMP])
    return material


def _follow(curve: bpy.types.FCurve, armature: bpy.types.Object) -> None:
    """Let a driver give an armature's confidence; without an expression, which a file may not be allowed."""
    driver = curve.driver
    driver.type = "AVERAGE"
    variable = driver.variables.new()
    variable.type = "SINGLE_PROP"
    variable.targets[0].id = armature
    variable.targets[0].data_path = OBJECT_PATH


def _map(curve: bpy.types.FCurve, points: list[tuple[float, float]]) -> None:
    """Let a driver's curve give other values than the driver's own: straight lines between points."""
    for modifier in list(curve.modifiers):
        curve.modifiers.remove(modifier)
    keys = curve.keyframe_points
    keys.clear()
    keys.add(len(points))
    for key, point in zip(keys, points, strict=True):
        key.co, key.interpolation = point, "LINEAR"
    curve.update()


class RECOVER_MOTION_OT_show_confidence(bpy.types.Operator):
    """Colour recovered bodies by how sure their motion is; a second time gives their materials back."""

    bl_description = (
        "Colour recovered bodies by how sure their motion is: red is a guess, blue is certain. "
        "Again: give them their materials back. Works on the selected bodies, or on all when none is selected"
    )
    bl_idname = "recover_motion.show_confidence"
    bl_label = "Show Confidence"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There is a recovered body with confidence."""
        if bodies_with_confidence(context.scene):
            return True
        cls.poll_message_set("There is no recovered body here that knows its confidence")
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Show it on all, or hide it on all when all show it."""
        bodies = bodies_with_confidence(context.scene)
        selected = set(context.view_layer.objects.selected)
        bodies = [body for body in bodies if body in selected or rig_of(body) in selected] or bodies
        change = hide if all(is_shown(body) for body in bodies) else show
        for body in bodies:
            change(body)
        return {"FINISHED"}


class RECOVER_MOTION_PT_result(bpy.types.Panel):
    """What there is to know about the recovered bodies in the scene."""

    bl_label = "Result"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Recover Motion"
    bl_parent_id = "RECOVER_MOTION_PT_main"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There is something to show."""
        return bool(bodies_with_confidence(context.scene))

    def draw(self, context: bpy.types.Context) -> None:
        """The switch, and the confidence of the active person at this frame."""
        layout = self.layout
        shown = any(is_shown(body) for body in bodies_with_confidence(context.scene))
        layout.operator("recover_motion.show_confidence", depress=shown, icon="COLOR")
        thing = context.object
        owner = thing and (rig_of(thing) or thing)
        if owner is None or KEY not in owner or CONFIDENCE not in owner:
            return
        layout.progress(factor=owner[CONFIDENCE], text=f"{owner.name}: {owner[CONFIDENCE]:.0%}")
        bone = context.active_pose_bone
        if bone is not None and bone.id_data == owner and CONFIDENCE in bone:
            layout.progress(factor=bone[CONFIDENCE], text=f"{bone.name}: {bone[CONFIDENCE]:.0%}")


_CLASSES = (RECOVER_MOTION_OT_show_confidence, RECOVER_MOTION_PT_result)


def register() -> None:
    """Register the operator and its panel."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister them."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
