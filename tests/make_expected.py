# SPDX-License-Identifier: Apache-2.0
"""Motion files with random poses, and where the backend says every joint, vertex and pixel is.

Blender's Python has no torch, so the add-on's tests cannot ask the backend themselves. They compare
with the folder that this writes (tests/blender_addon/test_expected.py)::

    python -m tests.make_expected OUT
    FASTHMR_EXPECTED=OUT python -m pytest tests/blender_addon      # in the Python of a bpy wheel

Beside each ``<clip>.person01.npz`` lies ``<clip>.expected.npz``: ``joints`` (T,24,3) and ``vertices``
(T,V,3) in the world, ``pixels`` (T,24,2) in the footage.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import roma
import torch

from fasthmr.body import BodyModel, load_body, save_body
from fasthmr.body.body_file import BodyArrays
from fasthmr.motion import Motion

FRAMES = 12
RATE = 30.0


def another_body(body: BodyModel, random: np.random.Generator) -> BodyModel:
    """The open body stretched, under a name of its own: a body that travels beside its motion file."""
    stretch = random.uniform(0.8, 1.2, 3).astype(np.float32)
    arrays = body.arrays
    return BodyModel(
        BodyArrays(
            v_template=arrays.v_template * stretch,
            shapedirs=arrays.shapedirs * stretch[:, None],
            weights=arrays.weights,
            J_regressor=arrays.J_regressor,
            f=arrays.f,
            name="stretched",
            licence=body.licence,
        )
    )


def random_motion(body: BodyModel, random: np.random.Generator) -> Motion:
    """Random poses, shape, places and a camera that moves."""
    poses = random.normal(0, 0.5, (FRAMES, 24, 3))
    poses[:, 0] = random.normal(0, 2, (FRAMES, 3))
    focal, width, height = 1400.0, 1080, 1920
    camera = np.tile(np.eye(4), (FRAMES, 1, 1))
    camera[:, :3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]  # level, looking along +y
    sway = roma.rotvec_to_rotmat(torch.from_numpy(random.normal(0, 0.05, (FRAMES, 3)))).numpy()
    camera[:, :3, :3] = sway @ camera[:, :3, :3]
    camera[:, :3, 3] = random.normal([0, -6, 1.5], 0.1, (FRAMES, 3))
    return Motion(
        poses=poses.reshape(FRAMES, 72),
        trans=random.uniform([-0.5, -0.5, 0.5], [0.5, 0.5, 1.5], (FRAMES, 3)),
        betas=random.normal(0, 1, 10),
        joints_camera=np.zeros((FRAMES, 24, 3)),
        frame_indices=np.arange(FRAMES),
        timestamps=np.arange(FRAMES) / RATE,
        confidence=random.uniform(0, 1, (FRAMES, 24)),
        contacts=np.zeros((FRAMES, 4)),
        boxes=np.tile([0, 0, width, height], (FRAMES, 1)),
        camera_intrinsics=np.array([[focal, 0, 500.0], [0, focal, 1000.0], [0, 0, 1]]),
        world_from_camera=camera,
        image_size=np.array([width, height]),
        mocap_framerate=RATE,
        meta={"version": "0", "model": "random", "body": body.name, "licences": {"body": body.licence}},
    )


def expected(body: BodyModel, motion: Motion) -> dict[str, np.ndarray]:
    """Joints, vertices and pixels as the backend computes them."""
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(motion.poses.reshape(FRAMES, 24, 3)))
    vertices, joints = body.vertices(
        rotations, torch.from_numpy(motion.betas), torch.from_numpy(motion.trans)
    )
    points = np.concatenate([joints.numpy(), np.ones((FRAMES, 24, 1))], axis=2)
    seen = points @ np.linalg.inv(motion.world_from_camera).transpose(0, 2, 1)
    image = seen[..., :3] @ motion.camera_intrinsics.T
    return {
        "joints": joints.numpy(),
        "vertices": vertices.numpy(),
        "pixels": image[..., :2] / image[..., 2:],
    }


def main(out: Path) -> None:
    """Write one clip with the open body and one with another body."""
    out.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(20)
    open_body = load_body("open")
    stretched = another_body(open_body, random)
    for clip, body in (("open", open_body), ("stretched", stretched)):
        motion = random_motion(body, random)
        motion.save(out / f"{clip}.person01.npz")
        np.savez(out / f"{clip}.expected.npz", allow_pickle=False, **expected(body, motion))
    save_body(stretched, out / "stretched.body.npz")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
