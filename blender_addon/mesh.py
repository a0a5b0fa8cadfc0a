# SPDX-License-Identifier: GPL-3.0-or-later
"""The skinned body: mesh, texture coordinates, shape keys, vertex groups, material."""

from __future__ import annotations

import math

import bpy
import numpy as np

from .compat import shader_nodes
from .rest_figure import RestFigure
from .skeleton import JOINT_NAMES

# Muted and far apart, so that the people of one clip can be told from each other
_COLOURS = (
    (0.55, 0.62, 0.70),
    (0.76, 0.55, 0.42),
    (0.52, 0.66, 0.48),
    (0.68, 0.52, 0.68),
    (0.74, 0.68, 0.42),
    (0.46, 0.66, 0.66),
)

_NO_WEIGHT = 1e-5
"""Smaller weights move nothing that can be seen."""

_SHAPE_RANGE = 5.0


def build_mesh(
    name: str,
    figure: RestFigure,
    armature: bpy.types.Object,
    collection: bpy.types.Collection,
    person: int = 0,
) -> bpy.types.Object:
    """Make the body of a figure, skinned to its armature, and link it to a collection.

    Args:
        name: of the object, the mesh and the material.
        figure: the body at rest.
        armature: its rig; becomes the parent.
        collection: where the body goes.
        person: 0, 1, …; chooses the colour.
    """
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(figure.mean_vertices.tolist(), [], figure.body.faces.tolist())
    _add_uvs(mesh, figure)
    mesh.shade_smooth()
    mesh.materials.append(_material(name, _COLOURS[person % len(_COLOURS)]))
    mesh.update()

    thing = bpy.data.objects.new(name, mesh)
    collection.objects.link(thing)
    _add_shape_keys(thing, figure)
    _add_weights(thing, figure.body.weights)
    thing.parent = armature
    modifier = thing.modifiers.new("Armature", "ARMATURE")
    modifier.object = armature
    return thing


def rig_of(thing: bpy.types.Object) -> bpy.types.Object | None:
    """The armature that deforms a mesh; None for anything else."""
    modifiers = (modifier for modifier in thing.modifiers if modifier.type == "ARMATURE")
    return next((modifier.object for modifier in modifiers if modifier.object is not None), None)


def _add_uvs(mesh: bpy.types.Mesh, figure: RestFigure) -> None:
    if figure.body.uvs is None or figure.body.uv_faces is None:
        return
    layer = mesh.uv_layers.new(name="UVMap")
    corners = figure.body.uvs[figure.body.uv_faces]  # from_pydata keeps the order of faces and corners
    layer.uv.foreach_set("vector", corners.astype(np.float32).ravel())


def _add_shape_keys(thing: bpy.types.Object, figure: RestFigure) -> None:
    """The body's shape as sliders, set to the person's own.

    The bones stay where this person's joints are: other values reshape the skin on the same skeleton.
    """
    thing.shape_key_add(name="Basis", from_mix=False)
    for index, offsets in enumerate(figure.shape_offsets):
        key = thing.shape_key_add(name=f"Shape{index:03d}", from_mix=False)
        key.data.foreach_set("co", (figure.mean_vertices + offsets).astype(np.float32).ravel())
        beta = float(figure.betas[index])
        # without a wider range, Blender would cut values off at 0 and 1
        reach = max(_SHAPE_RANGE, math.ceil(abs(beta)))
        key.slider_min, key.slider_max = -reach, reach
        key.value = beta


def _add_weights(thing: bpy.types.Object, weights: np.ndarray) -> None:
    for joint, name in enumerate(JOINT_NAMES):
        group = thing.vertex_groups.new(name=name)
        vertices = np.flatnonzero(weights[:, joint] > _NO_WEIGHT)
        # one call serves all vertices of one weight, and most of a limb's weigh exactly 1
        values, which = np.unique(weights[vertices, joint].astype(np.float32), return_inverse=True)
        order = np.argsort(which, kind="stable")
        ends = np.cumsum(np.bincount(which, minlength=len(values)))
        for value, share in zip(values.tolist(), np.split(vertices[order], ends[:-1]), strict=True):
            group.add(share.tolist(), value, "REPLACE")


def _material(name: str, colour: tuple[float, float, float]) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    material.diffuse_color = (*colour, 1.0)  # in the solid viewport
    shader = next(node for node in shader_nodes(material) if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = (*colour, 1.0)
    shader.inputs["Roughness"].default_value = 0.6
    return material
