# SPDX-License-Identifier: Apache-2.0
"""The stage's pictures against a naive software renderer, and what a moving camera sees."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from fasthmr.body import BodyModel
from fasthmr.training.synthesis.scenes import Scenes
from fasthmr.training.synthesis.stage import FAR, Lights, SyntheticStage
from tests.training.synthesis.posed_people import (
    bare_look,
    even_lights,
    four_tiles,
    open_stage,
    posed,
    some_scenes,
)

SIZE = (192, 256)


@pytest.fixture(scope="module")
def stage(body: BodyModel) -> Iterator[SyntheticStage]:
    with open_stage(body) as stage:
        yield stage


@pytest.fixture(scope="module")
def scenes(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    return some_scenes(body, tmp_path_factory.mktemp("stage") / "set", 24)


def dress(stage: SyntheticStage, body: BodyModel, scenes: Scenes, row: int) -> None:
    stage.dress(scenes.betas[row], bare_look(body), four_tiles())


def drawn(stage: SyntheticStage, scenes: Scenes, row: int) -> tuple[np.ndarray, np.ndarray]:
    return stage.render(
        scenes.turns[row],
        scenes.joints[row],
        scenes.crop_camera(row),
        SIZE,
        scenes.world_from_camera[row],
        even_lights(),
    )


def naive_picture(body: BodyModel, scenes: Scenes, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Share of each pixel that the mesh covers, and the depth of the nearest triangle in it.

    Triangles are painted from the farthest to the nearest, each with the depth of its middle.
    """
    finer = 8
    vertices = posed(body, scenes, row)
    pixels = vertices @ scenes.crop_camera(row).T
    pixels = pixels[:, :2] / pixels[:, 2:]
    faces = body.faces.numpy()
    depths = vertices[faces, 2].mean(1)
    covered = np.zeros((SIZE[1] * finer, SIZE[0] * finer), np.uint8)
    depth = np.full((SIZE[1], SIZE[0]), FAR, np.float32)
    fine = np.round(16 * (finer * pixels - 0.5)).astype(np.int32)
    coarse = np.round(16 * (pixels - 0.5)).astype(np.int32)
    for face in np.argsort(-depths):
        cv2.fillConvexPoly(covered, fine[faces[face]], 1, cv2.LINE_8, 4)
        cv2.fillConvexPoly(depth, coarse[faces[face]], float(depths[face]), cv2.LINE_8, 4)
    share = covered.reshape(SIZE[1], finer, SIZE[0], finer).mean((1, 3))
    return share, depth


@pytest.mark.parametrize("row", [0, 5, 11])
def test_mask_and_depth_are_those_of_a_naive_renderer(
    stage: SyntheticStage, body: BodyModel, scenes: Scenes, row: int
) -> None:
    dress(stage, body, scenes, row)
    _, mask = drawn(stage, scenes, row)
    share, naive_depth = naive_picture(body, scenes, row)
    assert mask.sum() > 2000
    # OpenCV draws a triangle's outline too: up to a pixel of the finer picture wider
    wrong = np.where(mask, share < 0.3, share > 0.75)
    assert wrong.sum() <= 0.002 * mask.sum()
    assert mask.sum() == pytest.approx(share.sum(), rel=0.03)
    depth = stage.depth(SIZE)
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    off = np.abs(depth - naive_depth)[inner]
    assert np.median(off) < 0.005
    assert np.quantile(off, 0.97) < 0.03
    outer = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
    np.testing.assert_allclose(depth[outer], FAR, rtol=1e-3)


def test_clothes_lie_over_the_skin(stage: SyntheticStage, body: BodyModel, scenes: Scenes) -> None:
    dress(stage, body, scenes, 0)
    _, bare = drawn(stage, scenes, 0)
    thick = bare_look(body)
    thick.offsets[:] = 0.03
    stage.wear(scenes.betas[0], thick)
    _, dressed = drawn(stage, scenes, 0)
    assert dressed.sum() > 1.08 * bare.sum()
    assert (bare & ~dressed).sum() < 0.01 * bare.sum()


def test_normals_of_the_mean_body_do(stage: SyntheticStage, body: BodyModel, scenes: Scenes) -> None:
    from fasthmr.preview.figures import vertex_normals

    mean = vertex_normals(body.v_template[None], body.faces)[0].numpy()
    dress(stage, body, scenes, 1)
    exact, mask = drawn(stage, scenes, 1)
    stage.wear(scenes.betas[1], bare_look(body), normals=mean)
    quick, again = drawn(stage, scenes, 1)
    np.testing.assert_array_equal(mask, again)  # nothing is worn, so that the outline is the same
    assert np.abs(exact.astype(float) - quick)[mask].mean() < 4


def test_landmarks_lie_on_the_person(stage: SyntheticStage, body: BodyModel, scenes: Scenes) -> None:
    on = inside = 0
    for row in range(12):
        dress(stage, body, scenes, row)
        _, mask = drawn(stage, scenes, row)
        wide = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        pixels = scenes.landmarks[row] @ scenes.crop_camera(row).T
        pixels = np.floor(pixels[:, :2] / pixels[:, 2:]).astype(int)
        seen = ((pixels >= 0) & (pixels < SIZE)).all(1)
        on += wide[pixels[seen, 1], pixels[seen, 0]].sum()
        inside += seen.sum()
    assert inside > 300
    assert on > 0.99 * inside


def looking(eye: np.ndarray, at: np.ndarray) -> np.ndarray:
    """world_from_camera (4, 4) of a camera that looks at a point and is level."""
    forward = (at - eye) / np.linalg.norm(at - eye)
    right = np.cross(forward, (0, 0, 1))
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = eye
    return pose


def test_floor_and_person_stand_still_while_the_camera_moves(
    stage: SyntheticStage, body: BodyModel, scenes: Scenes
) -> None:
    dress(stage, body, scenes, 0)
    old = scenes.world_from_camera[0]
    world_joints = scenes.joints[0] @ old[:3, :3].T + old[:3, 3]
    world_turns = old[:3, :3] @ scenes.turns[0]
    camera = np.array([[180.0, 0, 96], [0, 180.0, 128], [0, 0, 1]])
    tiles = {(1.0, 1.0): (200, 40, 40), (3.0, 1.0): (40, 200, 40), (1.0, 3.0): (40, 40, 200)}
    tiles |= {(3.0, 3.0): (200, 200, 40), (-1.0, 3.0): (200, 200, 40), (1.0, -1.0): (40, 40, 200)}
    found = 0
    for eye in ([6.0, 2.0, 4.0], [-3.0, 5.0, 3.0], [1.0, -5.0, 6.0]):
        pose = looking(np.array(eye), np.array([1.0, 1.0, 0.3]))
        back = pose[:3, :3].T
        joints = (world_joints - pose[:3, 3]) @ back.T
        image, mask = stage.render(back @ world_turns, joints, camera, SIZE, pose, even_lights())
        for (x, y), colour in tiles.items():
            point = camera @ back @ (np.array([x, y, 0.0]) - pose[:3, 3])
            column, line = np.floor(point[:2] / point[2]).astype(int)
            if point[2] > 0 and 0 <= column < SIZE[0] and 0 <= line < SIZE[1] and not mask[line, column]:
                np.testing.assert_allclose(image[line, column], colour, atol=12)
                found += 1
        hips = camera @ joints[0]
        column, line = np.floor(hips[:2] / hips[2]).astype(int)
        assert mask[line, column]
    assert found >= 9


def test_company_hides_from_the_front_and_not_from_behind(
    stage: SyntheticStage, body: BodyModel, scenes: Scenes
) -> None:
    dress(stage, body, scenes, 0)
    image, alone = drawn(stage, scenes, 0)
    stage.wear(scenes.betas[0], bare_look(body, (0.0, 1.0, 0.0)), companion=True)
    for toward, hides in ((0.8, True), (1.25, False)):
        # a copy of the person on the same rays, as it were smaller or larger: only moved here, a bit aside
        joints = scenes.joints[0] + (toward - 1) * scenes.joints[0, 0] + (0.05, 0, 0)
        together, mask = stage.render(
            scenes.turns[0],
            scenes.joints[0],
            scenes.crop_camera(0),
            SIZE,
            scenes.world_from_camera[0],
            even_lights(),
            (scenes.turns[0], joints),
        )
        assert not (mask & ~alone).any()
        if hides:
            assert mask.sum() < 0.5 * alone.sum()
        else:
            assert mask.sum() > 0.995 * alone.sum()
            inner = cv2.erode(alone.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            assert (together[inner] == image[inner]).all(-1).mean() > 0.995  # but for silhouettes
        green = (together[..., 1] > 60) & (together[..., 0] < 10) & (together[..., 2] < 10)
        assert green.sum() > 500
        assert not (green & mask).any()


def test_the_same_call_draws_the_same_picture(stage: SyntheticStage, body: BodyModel, scenes: Scenes) -> None:
    dress(stage, body, scenes, 2)
    first = drawn(stage, scenes, 2)
    dress(stage, body, scenes, 3)
    other = drawn(stage, scenes, 3)
    dress(stage, body, scenes, 2)
    again = drawn(stage, scenes, 2)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()


def test_there_must_be_a_place(body: BodyModel, scenes: Scenes) -> None:
    # this stage has been nowhere yet, whatever others have
    stage = SyntheticStage.__new__(SyntheticStage)
    stage._place_now = None
    with pytest.raises(ValueError, match="no surroundings yet"):
        stage._draw_place(np.eye(3), SIZE, np.eye(4), np.zeros((24, 3)), even_lights())


def test_lights_follow_their_seed() -> None:
    one, same, other = (Lights(np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.sun, same.sun)
    assert (one.sun != other.sun).any()
    assert np.linalg.norm(one.sun) == pytest.approx(1)
    assert one.sun[2] > 0  # from above
