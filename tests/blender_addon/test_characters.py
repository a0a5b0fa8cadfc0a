# SPDX-License-Identifier: GPL-3.0-or-later
"""characters: what the tests of retargeting and export stand on is itself as it says."""

import bpy
import numpy as np
import pytest
from characters import CHARACTERS, Character, character

pytestmark = pytest.mark.bpy

SIDES = (("Left", "Right"), (".L", ".R"), ("_l", "_r"), ("LHip", "RHip"), ("LThumb", "RThumb"))


@pytest.fixture(params=CHARACTERS)
def made(request: pytest.FixtureRequest, scene: bpy.types.Scene) -> Character:
    return character(request.param, scene)


def skin_in_world(made: Character) -> np.ndarray:
    """(V, 3) as posed."""
    posed = made.mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    places = np.empty(3 * len(posed.data.vertices), np.float32)
    posed.data.vertices.foreach_get("co", places)
    matrix = np.array(posed.matrix_world)
    return places.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def ends_in_world(made: Character) -> dict[str, np.ndarray]:
    """Heads and tails (2, 3) of the bones at rest."""
    matrix = made.armature.matrix_world
    return {
        bone.name: np.array([matrix @ bone.head_local, matrix @ bone.tail_local])
        for bone in made.armature.data.bones
    }


def test_it_stands_on_the_floor(made: Character) -> None:
    skin = skin_in_world(made)
    assert abs(skin[:, 2].min()) < 1e-4
    assert 1.0 < skin[:, 2].max() < 2.2


def test_skin_is_shared_out_among_bones(made: Character) -> None:
    bones = made.armature.data.bones
    names = {group.index: group.name for group in made.mesh.vertex_groups}
    assert all(bones[name].use_deform for name in names.values())
    for vertex in made.mesh.data.vertices:
        assert abs(sum(group.weight for group in vertex.groups) - 1) < 1e-4


def test_bones_have_length(made: Character) -> None:
    assert all(np.linalg.norm(tail - head) > 0.003 for head, tail in ends_in_world(made).values())
