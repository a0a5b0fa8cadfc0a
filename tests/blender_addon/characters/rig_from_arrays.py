# SPDX-License-Identifier: GPL-3.0-or-later
"""A skinned character from arrays: what all characters are built with, but for Rigify's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import bpy
import numpy as np
from mathutils import Matrix, Vector
from recover_motion.edit_mode import edit_mode


@dataclass(frozen=True)
class Character:
    """A character in the scene.

    Attributes:
        armature: its armature object.
        mesh: its skin, a child of the armature with an Armature modifier.
        name: its name in `CHARACTERS`.
        bones: which bone plays which joint of SMPL, where the one who made it knows.
    """

    armature: bpy.types.Object
    mesh: bpy.types.Object
    name: str
    bones: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RigArrays:
    """A rig at rest with its skin: metres, z up, faces -y, soles at z = 0.

    Attributes:
        bones: (B) names, parents before children.
        parents: (B) indices, -1 for roots.
        heads: (B, 3).
        tails: (B, 3).
        rolls: (B) radians, as Blender counts them.
        vertices: (V, 3).
        faces: (F, 3) indices.
        weights: (V, B) shares of the bones in the skin; rows sum to one.
        connected: (B) whether a bone's head is held at its parent's tail.
        helpers: names of bones that move no skin.
    """

    bones: tuple[str, ...]
    parents: np.ndarray
    heads: np.ndarray
    tails: np.ndarray
    rolls: np.ndarray
    vertices: np.ndarray
    faces: np.ndarray
    weights: np.ndarray
    connected: np.ndarray | None = None
    helpers: frozenset[str] = frozenset()

    def index(self, bone: str) -> int:
        return self.bones.index(bone)

    def renamed(self, names: dict[str, str]) -> RigArrays:
        """The same with other names of bones."""
        return replace(self, bones=tuple(names.get(bone, bone) for bone in self.bones))

    def reshaped(self, turns: dict[str, np.ndarray], sizes: dict[str, np.ndarray]) -> RigArrays:
        """The same figure with other proportions and another rest pose; rolls are kept as numbers.

        Args:
            turns: (3, 3) rotations about a bone's head that everything below follows.
            sizes: factors (3) along the figure's x, y and z of single bones, not of what is below them.
        """
        whole, heads, tails = np.zeros((len(self.bones), 3, 3)), self.heads.copy(), self.tails.copy()
        shapes = np.zeros_like(whole)
        for bone, parent in enumerate(self.parents):
            name = self.bones[bone]
            above = whole[parent] if parent >= 0 else np.eye(3)
            whole[bone] = above @ turns.get(name, np.eye(3))
            shapes[bone] = whole[bone] @ np.diag(np.broadcast_to(sizes.get(name, 1.0), 3))
            if parent >= 0:
                heads[bone] = heads[parent] + shapes[parent] @ (self.heads[bone] - self.heads[parent])
            tails[bone] = heads[bone] + shapes[bone] @ (self.tails[bone] - self.heads[bone])
        away = np.einsum("bij,vbj->vbi", shapes, self.vertices[:, None] - self.heads) + heads
        vertices = np.einsum("vb,vbi->vi", self.weights, away)
        return replace(self, heads=heads, tails=tails, vertices=vertices).on_the_floor()

    def on_the_floor(self) -> RigArrays:
        """The same with its lowest point at z = 0."""
        lift = np.array([0.0, 0.0, -self.vertices[:, 2].min()])
        return replace(self, heads=self.heads + lift, tails=self.tails + lift, vertices=self.vertices + lift)

    def merged(self, into: dict[str, str]) -> RigArrays:
        """The same without some bones, whose skin and children go to others.

        Args:
            into: bone that goes to the bone that takes it over, which must stay.
        """
        kept = [index for index, bone in enumerate(self.bones) if bone not in into]
        number = {index: place for place, index in enumerate(kept)}

        def heir(index: int) -> int:
            return self.index(into[self.bones[index]]) if self.bones[index] in into else index

        weights = np.zeros((len(self.weights), len(kept)))
        for index in range(len(self.bones)):
            weights[:, number[heir(index)]] += self.weights[:, index]
        parents = [number[heir(self.parents[index])] if self.parents[index] >= 0 else -1 for index in kept]
        return replace(
            self,
            bones=tuple(self.bones[index] for index in kept),
            parents=np.array(parents),
            heads=self.heads[kept],
            tails=self.tails[kept],
            rolls=self.rolls[kept],
            weights=weights,
            connected=None if self.connected is None else self.connected[kept],
        )


def build(scene: bpy.types.Scene, name: str, rig: RigArrays) -> Character:
    """Make the armature and its skin, and link them to the scene."""
    armature = bpy.data.objects.new(name, bpy.data.armatures.new(name))
    scene.collection.objects.link(armature)
    with edit_mode(bpy.context, armature):
        made = []
        for index, bone_name in enumerate(rig.bones):
            bone = armature.data.edit_bones.new(bone_name)
            bone.head, bone.tail = Vector(rig.heads[index]), Vector(rig.tails[index])
            bone.roll = rig.rolls[index]
            bone.use_deform = bone_name not in rig.helpers
            made.append(bone)
        for index, parent in enumerate(rig.parents):
            if parent >= 0:
                made[index].parent = made[parent]
                touching = np.allclose(rig.heads[index], rig.tails[parent], atol=1e-5)
                made[index].use_connect = bool(
                    rig.connected is not None and rig.connected[index] and touching
                )
    return Character(armature, add_skin(scene, armature, rig), name)


def add_skin(scene: bpy.types.Scene, armature: bpy.types.Object, rig: RigArrays) -> bpy.types.Object:
    """The skin of a rig as a child of its armature."""
    data = bpy.data.meshes.new(f"{armature.name}.body")
    data.from_pydata(rig.vertices.tolist(), [], rig.faces.tolist())
    data.shade_smooth()
    mesh = bpy.data.objects.new(data.name, data)
    scene.collection.objects.link(mesh)
    mesh.parent = armature
    for index, bone in enumerate(rig.bones):
        shares = rig.weights[:, index]
        touched = np.flatnonzero(shares > 0)
        if len(touched):
            group = mesh.vertex_groups.new(name=bone)
            values, which = np.unique(shares[touched], return_inverse=True)
            order = np.argsort(which, kind="stable")  # one call serves all vertices of one share
            ends = np.cumsum(np.bincount(which, minlength=len(values)))[:-1]
            for value, vertices in zip(values.tolist(), np.split(touched[order], ends), strict=True):
                group.add(vertices.tolist(), value, "REPLACE")
    modifier = mesh.modifiers.new("Armature", "ARMATURE")
    modifier.object = armature
    return mesh


def placed(character: Character, matrix: Matrix) -> Character:
    """The same character where it was, with another object transform: its data take up the difference."""
    inverse = matrix.inverted()
    character.armature.data.transform(inverse)
    character.mesh.data.transform(inverse)
    character.armature.matrix_world = matrix
    character.armature.data.update_tag()  # the pose does not notice otherwise
    bpy.context.view_layer.update()
    return character
