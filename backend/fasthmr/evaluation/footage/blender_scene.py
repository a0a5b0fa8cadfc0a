# SPDX-License-Identifier: Apache-2.0
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
"""Runs inside Blender: builds a planned scene and renders its frames.

    python blender_scene.py -- SCENE.npz FOLDER [THREADS [FIRST:LAST:STEP]]

SCENE.npz is what ``plan.scene_of`` gives. The folder gets ``0000.png`` and so on. With a camera that
stands still only the planned box around person and shadow is rendered in each frame, and once
``background.png`` without the person; pixels outside of the box do not change. What is there already is
not rendered again. Needs Blender's Python and numpy only, 4.2 or newer.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

BACKGROUND_SAMPLES = 16
PATTERNS = ("checks", "planks", "bricks", "concrete")


def build(scene: dict[str, np.ndarray]) -> bpy.types.Object:
    """Make everything; gives the person."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    # In Cycles light from all around costs a noisy ray; this sky is a colour by the surface's direction.
    low_x, low_y, high_x, high_y = scene["room"]
    height = float(scene["wall_height"])
    floor = sheet("floor", [(low_x - 30, low_y - 30, 0), (high_x + 30, low_y - 30, 0),
                            (high_x + 30, high_y + 30, 0), (low_x - 30, high_y + 30, 0)])  # fmt: skip
    floor.data.materials.append(patterned("floor", scene, 0, None))
    corners = [(low_x, low_y), (high_x, low_y), (high_x, high_y), (low_x, high_y)]
    for side in range(4):
        (ax, ay), (bx, by) = corners[side], corners[(side + 1) % 4]
        wall = sheet(f"wall{side}", [(ax, ay, 0), (bx, by, 0), (bx, by, height), (ax, ay, height)])
        wall.data.materials.append(patterned(f"wall{side}", scene, 1, side % 2))
    for number, (kind, prop) in enumerate(zip(scene["prop_kinds"], scene["props"], strict=True)):
        thing(int(kind), prop, scene["prop_colours"][number], scene)
    light = bpy.data.lights.new("sun", "SUN")
    light.energy, light.angle = np.pi, 0.012
    light.color = [float(value) for value in scene["sun_colour"]]
    sun = link(bpy.data.objects.new("sun", light))
    sun.rotation_euler = Matrix.Identity(3).to_euler()
    sun.rotation_mode = "QUATERNION"
    from mathutils import Vector

    sun.rotation_quaternion = Vector(scene["sun"]).to_track_quat("Z", "Y")
    world = bpy.data.worlds.new("sky")
    bpy.context.scene.world = world
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs[0].default_value = (
        *[float(v) for v in np.clip(1.6 * scene["sky_colour"] * (0.8, 0.95, 1.15), 0, 1)], 1)  # fmt: skip
    # Seen, but without light of its own: the materials bring the sky's.
    for seen in ("diffuse", "glossy", "transmission", "scatter"):
        setattr(world.cycles_visibility, seen, False)
    return person(scene)


def person(scene: dict[str, np.ndarray]) -> bpy.types.Object:
    """The mesh in its first frame, coloured by vertex."""
    mesh = bpy.data.meshes.new("person")
    faces = scene["faces"]
    mesh.vertices.add(len(scene["colours"]))
    mesh.loops.add(faces.size)
    mesh.polygons.add(len(faces))
    mesh.loops.foreach_set("vertex_index", np.ascontiguousarray(faces.ravel()))
    mesh.polygons.foreach_set("loop_start", np.arange(0, faces.size, 3, dtype=np.int32))
    mesh.polygons.foreach_set("use_smooth", np.ones(len(faces), bool))
    mesh.vertices.foreach_set("co", np.ascontiguousarray(scene["vertices"][0].ravel()))
    colours = np.concatenate([scene["colours"], np.ones((len(scene["colours"]), 1), np.float32)], axis=1)
    mesh.attributes.new("look", "FLOAT_COLOR", "POINT").data.foreach_set("color", colours.ravel())
    mesh.attributes.new("rest", "FLOAT_VECTOR", "POINT").data.foreach_set("vector", scene["rest"].ravel())
    mesh.update(calc_edges=True)
    nodes, links = material_nodes(mesh, "person")
    look, rest = nodes.new("ShaderNodeAttribute"), nodes.new("ShaderNodeAttribute")
    look.attribute_name, rest.attribute_name = "look", "rest"
    weave = nodes.new("ShaderNodeTexNoise")
    weave.inputs["Scale"].default_value, weave.inputs["Detail"].default_value = 90.0, 1.0
    links.new(rest.outputs["Vector"], weave.inputs["Vector"])
    lit(
        nodes,
        links,
        varied(nodes, links, look.outputs["Color"], weave.outputs[0], 0.35),
        scene,
        occluded=True,
    )
    return link(bpy.data.objects.new("person", mesh))


def thing(kind: int, prop: np.ndarray, colour: np.ndarray, scene: dict[str, np.ndarray]) -> None:
    """A box, cylinder, cone or ball on the floor, or a board on a wall."""
    x, y, width, depth, height, turn, hangs = (float(value) for value in prop)
    middle = (x, y, 1.7 if hangs else height / 2)
    if kind == 0:
        bpy.ops.mesh.primitive_cube_add(size=1, location=middle)
    elif kind == 1:
        bpy.ops.mesh.primitive_cylinder_add(radius=0.5, depth=1, vertices=40, location=middle)
    elif kind == 2:
        bpy.ops.mesh.primitive_cone_add(radius1=0.5, depth=1, vertices=40, location=middle)
    else:
        height = depth = width
        bpy.ops.mesh.primitive_uv_sphere_add(radius=0.5, location=(x, y, height / 2))
    made = bpy.context.object
    made.scale, made.rotation_euler = (width, depth, height), (0, 0, turn)
    if kind == 3:
        bpy.ops.object.shade_smooth()
    nodes, links = material_nodes(made.data, "thing")
    place = nodes.new("ShaderNodeTexCoord")
    noise = nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value, noise.inputs["Detail"].default_value = 6.0, 3.0
    links.new(place.outputs["Object"], noise.inputs["Vector"])
    plain = nodes.new("ShaderNodeRGB")
    plain.outputs[0].default_value = (*[float(value) for value in colour], 1)
    lit(nodes, links, varied(nodes, links, plain.outputs[0], noise.outputs[0], 0.5), scene)


def patterned(name: str, scene: dict[str, np.ndarray], which: int, axis: int | None) -> bpy.types.Material:
    """A material of the floor (axis None) or of a wall along x (0) or y (1)."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    place = nodes.new("ShaderNodeNewGeometry").outputs["Position"]
    if axis is not None:  # the picture of a wall lies in its plane
        split, joined = nodes.new("ShaderNodeSeparateXYZ"), nodes.new("ShaderNodeCombineXYZ")
        links.new(place, split.inputs[0])
        links.new(split.outputs[axis], joined.inputs[0])
        links.new(split.outputs[2], joined.inputs[1])
        place = joined.outputs[0]
    size = float(scene["pattern_sizes"][which])
    first, second = ((*[float(v) for v in colour], 1) for colour in scene["pattern_colours"][which])
    kind = PATTERNS[int(scene["patterns"][which])]
    if kind == "checks":
        texture = nodes.new("ShaderNodeTexChecker")
        texture.inputs["Color1"].default_value, texture.inputs["Color2"].default_value = first, second
        texture.inputs["Scale"].default_value = 1 / size
    elif kind == "concrete":
        texture = nodes.new("ShaderNodeMix")
        texture.data_type = "RGBA"
        spots = nodes.new("ShaderNodeTexNoise")
        spots.inputs["Scale"].default_value, spots.inputs["Detail"].default_value = 1.2 / size, 4.0
        links.new(place, spots.inputs["Vector"])
        links.new(spots.outputs[0], texture.inputs[0])
        texture.inputs[6].default_value, texture.inputs[7].default_value = first, second
    else:
        texture = nodes.new("ShaderNodeTexBrick")
        long = 5.0 if kind == "planks" else 0.6
        for name_, value in (("Color1", first), ("Color2", second), ("Mortar", (0.05, 0.045, 0.04, 1))):
            texture.inputs[name_].default_value = value
        texture.inputs["Scale"].default_value = 1.0
        texture.inputs["Brick Width"].default_value = long * size
        texture.inputs["Row Height"].default_value = 0.35 * size
        texture.inputs["Mortar Size"].default_value = 0.004 if kind == "planks" else 0.012
    if kind != "concrete":
        links.new(place, texture.inputs["Vector"])
    grain = nodes.new("ShaderNodeTexNoise")
    grain.inputs["Scale"].default_value, grain.inputs["Detail"].default_value = 3.0, 3.0
    links.new(place, grain.inputs["Vector"])
    colour = texture.outputs[2] if kind == "concrete" else texture.outputs["Color"]
    nodes.new("ShaderNodeOutputMaterial")
    lit(nodes, links, varied(nodes, links, colour, grain.outputs[0], 0.5), scene, occluded=axis is None)
    return material


def varied(nodes, links, colour, noise, amount: float):
    """The colour times 1 - amount/2 ... 1 + amount/2, by a noise about 0.5."""
    factor = nodes.new("ShaderNodeMath")
    factor.operation = "MULTIPLY_ADD"
    factor.inputs[1].default_value, factor.inputs[2].default_value = 2 * amount, 1 - amount
    links.new(noise, factor.inputs[0])
    product = nodes.new("ShaderNodeVectorMath")
    product.operation = "SCALE"
    links.new(colour, product.inputs[0])
    links.new(factor.outputs[0], product.inputs["Scale"])
    return product.outputs[0]


def lit(nodes, links, colour, scene: dict[str, np.ndarray], occluded: bool = False) -> None:
    """Sunlight on a dull surface, and the sky's and the ground's light by the direction it faces."""
    diffuse, glow = nodes.new("ShaderNodeBsdfDiffuse"), nodes.new("ShaderNodeEmission")
    both = nodes.new("ShaderNodeAddShader")
    facing, split = nodes.new("ShaderNodeNewGeometry"), nodes.new("ShaderNodeSeparateXYZ")
    upward, sky, around = (
        nodes.new("ShaderNodeMath"),
        nodes.new("ShaderNodeMix"),
        nodes.new("ShaderNodeVectorMath"),
    )
    links.new(colour, diffuse.inputs["Color"])
    links.new(facing.outputs["Normal"], split.inputs[0])
    upward.operation = "MULTIPLY_ADD"
    upward.inputs[1].default_value = upward.inputs[2].default_value = 0.5
    links.new(split.outputs[2], upward.inputs[0])
    sky.data_type = "RGBA"
    links.new(upward.outputs[0], sky.inputs[0])
    sky.inputs[6].default_value = (*[float(v) for v in scene["ground_colour"]], 1)
    sky.inputs[7].default_value = (*[float(v) for v in scene["sky_colour"]], 1)
    around.operation = "MULTIPLY"
    links.new(colour, around.inputs[0])
    links.new(sky.outputs[2], around.inputs[1])
    links.new(around.outputs[0], glow.inputs["Color"])
    if occluded:  # less light from around in folds and where feet stand
        near = nodes.new("ShaderNodeAmbientOcclusion")
        near.samples, near.inputs["Distance"].default_value = 1, 0.5
        links.new(near.outputs["AO"], glow.inputs["Strength"])
    links.new(diffuse.outputs[0], both.inputs[0])
    links.new(glow.outputs[0], both.inputs[1])
    links.new(both.outputs[0], nodes["Material Output"].inputs["Surface"])


def material_nodes(mesh, name: str):
    """A new material on a mesh: its nodes, with nothing but the output, and its links."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes = material.node_tree.nodes
    nodes.clear()
    nodes.new("ShaderNodeOutputMaterial")
    mesh.materials.append(material)
    return nodes, material.node_tree.links


def sheet(name: str, corners: list[tuple[float, float, float]]) -> bpy.types.Object:
    """A flat four-cornered thing."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(corners, [], [(0, 1, 2, 3)])
    return link(bpy.data.objects.new(name, mesh))


def link(made: bpy.types.Object) -> bpy.types.Object:
    """Put an object into the scene."""
    bpy.context.scene.collection.objects.link(made)
    return made


def camera(scene: dict[str, np.ndarray]) -> bpy.types.Object:
    """The camera's lens; Blender's cameras look along -z with y up."""
    width, height = (int(value) for value in scene["image_size"])
    data = bpy.data.cameras.new("camera")
    data.sensor_fit, data.sensor_width = "HORIZONTAL", 36.0
    data.lens = float(scene["intrinsics"][0, 0]) * 36.0 / width
    data.clip_start, data.clip_end = 0.05, 200.0
    made = link(bpy.data.objects.new("camera", data))
    setting = bpy.context.scene
    setting.camera = made
    setting.render.resolution_x, setting.render.resolution_y = width, height
    setting.render.resolution_percentage = 100
    return made


def settings(threads: int) -> None:
    """Cycles with sunlight only: a few rays a pixel, no light that bounces, nothing to be cleaned."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.use_persistent_data = True
    if threads:
        scene.render.threads_mode, scene.render.threads = "FIXED", threads
    cycles = scene.cycles
    cycles.use_denoising = cycles.use_adaptive_sampling = False
    cycles.max_bounces = cycles.diffuse_bounces = cycles.glossy_bounces = cycles.transmission_bounces = 0
    scene.view_settings.view_transform = "Standard"
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGB"
    scene.render.image_settings.compression = 10


def render(path: Path, samples: int, box: np.ndarray | None, size: np.ndarray, seed: int) -> None:
    """Render the whole picture or a box (left, top, right, bottom, pixels) of it."""
    scene = bpy.context.scene
    scene.cycles.samples, scene.cycles.seed = samples, seed
    scene.render.use_border = scene.render.use_crop_to_border = box is not None
    if box is not None:
        left, top, right, bottom = (float(value) for value in box)
        # Blender cuts the border down to whole pixels: a part of a pixel more, or rounding loses one.
        low_x, high_x = (left + 0.25) / size[0], (right + 0.25) / size[0]
        low_y, high_y = (size[1] - bottom + 0.25) / size[1], (size[1] - top + 0.25) / size[1]
        scene.render.border_min_x, scene.render.border_max_x = low_x, min(high_x, 1.0)
        scene.render.border_min_y, scene.render.border_max_y = low_y, min(high_y, 1.0)
    part = path.with_suffix(".part.png")
    scene.render.filepath = str(part)
    bpy.ops.render.render(write_still=True)
    part.replace(path)


def main(words: list[str]) -> None:
    """Render what the words after ``--`` say."""
    with np.load(words[0], allow_pickle=False) as file:
        scene = {name: file[name] for name in file.files}
    folder = Path(words[1])
    samples, threads = int(scene["samples"]), int(words[2]) if len(words) > 2 else 0
    count = len(scene["vertices"])
    first, last, step = (int(word) for word in words[3].split(":")) if len(words) > 3 else (0, count, 1)
    folder.mkdir(parents=True, exist_ok=True)
    body = build(scene)
    eye = camera(scene)
    settings(threads)
    still = bool(scene["still"])
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    eye.matrix_world = Matrix((scene["world_from_camera"][0] @ flip).tolist())
    background = folder / "background.png"
    if still and not background.exists():
        body.hide_render = True
        render(background, BACKGROUND_SAMPLES, None, scene["image_size"], 0)
        body.hide_render = False
    for frame in range(first, min(last, count), step):
        path = folder / f"{frame:04}.png"
        if not path.exists():
            eye.matrix_world = Matrix((scene["world_from_camera"][frame] @ flip).tolist())
            body.data.vertices.foreach_set("co", np.ascontiguousarray(scene["vertices"][frame].ravel()))
            body.data.update()
            render(path, samples, scene["boxes"][frame] if still else None, scene["image_size"], frame)
        sys.stdout.write(f"FRAME {frame + 1} {count}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[sys.argv.index("--") + 1 :])
