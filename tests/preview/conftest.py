# SPDX-License-Identifier: Apache-2.0
"""A jointed figure of tubes, a motion for it, and a picture to draw on: small enough to be fast."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import moderngl
import numpy as np
import pytest
import roma
import torch

from fasthmr.body import BodyModel
from fasthmr.body.body_file import BodyArrays
from fasthmr.body.skeleton import JOINT_COUNT, PARENTS
from fasthmr.errors import FastHMRError
from fasthmr.motion import Motion
from fasthmr.preview import open_context

RING, RADIUS = 10, 0.06

# A figure of about a man's proportions in T-pose; metres, y up, facing +z, x to its left.
REST = np.array(
    [
        (0, 0, 0), (0.08, -0.08, 0), (-0.08, -0.08, 0), (0, 0.12, 0), (0.1, -0.48, 0), (-0.1, -0.48, 0),
        (0, 0.24, 0), (0.1, -0.88, 0), (-0.1, -0.88, 0), (0, 0.34, 0), (0.1, -0.92, 0.1), (-0.1, -0.92, 0.1),
        (0, 0.52, 0), (0.08, 0.44, 0), (-0.08, 0.44, 0), (0, 0.64, 0), (0.18, 0.46, 0), (-0.18, 0.46, 0),
        (0.44, 0.46, 0), (-0.44, 0.46, 0), (0.7, 0.46, 0), (-0.7, 0.46, 0), (0.78, 0.46, 0), (-0.78, 0.46, 0),
    ]
)  # fmt: skip


def tube_body() -> BodyModel:
    """One closed tube a bone; each joint is the middle of a ring of vertices."""
    vertices, weights, triangles = [], [], []
    regressor = np.zeros((JOINT_COUNT, 2 * RING * (JOINT_COUNT - 1)))
    for joint in range(1, JOINT_COUNT):
        parent = PARENTS[joint]
        along = REST[joint] - REST[parent]
        along = along / np.linalg.norm(along)
        across = np.cross(along, (0.31, 0.52, 0.8))
        across /= np.linalg.norm(across)
        up = np.cross(along, across)
        base = len(vertices)
        for end in (parent, joint):
            regressor[end] = 0.0
            regressor[end, len(vertices) : len(vertices) + RING] = 1.0 / RING
            for angle in np.arange(RING) * 2 * np.pi / RING:
                vertices.append(REST[end] + RADIUS * (np.cos(angle) * across + np.sin(angle) * up))
                weights.append(np.eye(JOINT_COUNT)[parent])
        for k in range(RING):
            here, there = base + k, base + (k + 1) % RING
            triangles += [(here, there, there + RING), (here, there + RING, here + RING)]
        for k in range(1, RING - 1):
            triangles += [
                (base, base + k + 1, base + k),
                (base + RING, base + RING + k, base + RING + k + 1),
            ]
    arrays = BodyArrays(
        v_template=np.array(vertices),
        shapedirs=np.zeros((len(vertices), 3, 10)),
        weights=np.array(weights),
        J_regressor=regressor,
        f=np.array(triangles),
        name="tubes",
        licence="made in a test",
    )
    return BodyModel(arrays)


def walk(
    body: BodyModel,
    size: tuple[int, int],
    count: int,
    *,
    first: int = 0,
    rate: float = 25.0,
    sideways: float = 0.0,
    seed: int = 0,
) -> Motion:
    """A figure that wanders and waves in front of a level camera six metres away, which drifts a little."""
    rng = np.random.default_rng(seed)
    poses = rng.normal(0, 0.25, (1, 24, 3)) + 0.15 * np.sin(
        np.arange(count)[:, None, None] / 4 + rng.normal(0, 3, (24, 3))
    )
    poses[:, 0] = (np.pi / 2, 0, 0)  # upright: body y to world z, facing the camera
    trans = np.stack(
        [sideways + 0.3 * np.sin(np.arange(count) / 9), np.linspace(-0.8, 0.8, count), np.full(count, 0.95)],
        axis=1,
    )
    camera = np.tile(np.eye(4), (count, 1, 1))
    camera[:, :3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    camera[:, :3, 3] = [0.1, -6.0, 1.1]
    camera[:, 0, 3] += np.linspace(0, 0.2, count)
    width, height = size
    focal = 1.1 * max(size)
    rotations = roma.rotvec_to_rotmat(torch.as_tensor(poses, dtype=torch.float32))
    joints, _ = body.joints(rotations, torch.zeros(10), torch.as_tensor(trans, dtype=torch.float32))
    in_camera = np.einsum("tji,tkj->tki", camera[:, :3, :3], joints.numpy() - camera[:, None, :3, 3])
    frames = first + np.arange(count)
    return Motion(
        poses=poses.reshape(count, 72),
        trans=trans,
        betas=np.zeros(10),
        joints_camera=in_camera,
        frame_indices=frames,
        timestamps=frames / rate,
        confidence=np.ones((count, 24)),
        contacts=np.zeros((count, 4)),
        boxes=np.zeros((count, 4)),
        camera_intrinsics=np.array([[focal, 0, 0.47 * width], [0, 1.02 * focal, 0.53 * height], [0, 0, 1]]),
        world_from_camera=camera,
        image_size=np.array(size),
        mocap_framerate=rate,
    )


def plain_video(path: Path, size: tuple[int, int], count: int, rate: int = 25) -> Path:
    """Grey footage that brightens from frame to frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "10"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for index in range(count):
            image = np.full((size[1], size[0], 3), 60 + 2 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def body() -> BodyModel:
    return tube_body()


@pytest.fixture(scope="session")
def make_walk(body):
    """``make_walk(size, count, ...)``: a motion of the figure."""
    return lambda *args, **kwargs: walk(body, *args, **kwargs)


@pytest.fixture(scope="session")
def make_video():
    return plain_video


@pytest.fixture(scope="session")
def gl() -> Iterator[moderngl.Context]:
    try:
        context = open_context()
    except FastHMRError as error:
        pytest.skip(f"no OpenGL here: {error}")
    yield context
    context.release()
