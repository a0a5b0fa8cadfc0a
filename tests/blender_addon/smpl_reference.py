# SPDX-License-Identifier: GPL-3.0-or-later
"""SMPL written out joint by joint and vertex by vertex: what the add-on's results are compared with.

Plain on purpose, sharing no code with the add-on: Rodrigues' formula, a loop over the joints, a loop
over the joints' shares of the skin. Also makes the bodies and motion files that the tests need.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

NAMES = [
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle"),
    *("right_ankle", "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head"),
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *("left_hand", "right_hand"),
]
PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]

# joints of a person of average size at rest, metres, y up, facing +z
_REST = np.array(
    [
        *((0.00, -0.22, 0.03), (0.06, -0.31, 0.02), (-0.06, -0.31, 0.02), (0.00, -0.11, 0.00)),
        *((0.10, -0.69, 0.02), (-0.10, -0.69, 0.02), (0.00, 0.03, 0.00), (0.09, -1.09, -0.02)),
        *((-0.09, -1.09, -0.02), (0.00, 0.08, 0.03), (0.12, -1.15, 0.10), (-0.12, -1.15, 0.10)),
        *((0.00, 0.29, -0.01), (0.08, 0.20, 0.00), (-0.08, 0.20, 0.00), (0.00, 0.36, 0.04)),
        *((0.19, 0.24, -0.02), (-0.19, 0.24, -0.02), (0.45, 0.22, -0.04), (-0.45, 0.22, -0.04)),
        *((0.70, 0.23, -0.04), (-0.70, 0.23, -0.04), (0.79, 0.22, -0.05), (-0.79, 0.22, -0.05)),
    ]
)


@dataclass
class BodyArrays:
    """The arrays of a body file."""

    v_template: np.ndarray
    shapedirs: np.ndarray
    weights: np.ndarray
    J_regressor: np.ndarray
    f: np.ndarray
    vt: np.ndarray
    ft: np.ndarray
    path: Path | None = None

    @classmethod
    def load(cls, path: Path) -> "BodyArrays":
        with np.load(path, allow_pickle=False) as stored:
            names = ("v_template", "shapedirs", "weights", "J_regressor", "f", "vt", "ft")
            return cls(*(stored[name] for name in names), path=path)

    def save(self, path: Path, **changes: np.ndarray) -> None:
        arrays = {name: value for name, value in vars(self).items() if name != "path"}
        arrays["kintree_table"] = np.array([PARENTS, range(24)], np.int64)
        arrays["name"], arrays["licence"] = np.array("synthetic"), np.array("CC0-1.0")
        arrays |= changes
        np.savez(path, **{name: value for name, value in arrays.items() if value is not None})

    def rest_joints(self, betas: np.ndarray) -> np.ndarray:
        return self.J_regressor.astype(float) @ (self.v_template + self.shapedirs.astype(float) @ betas)


def sphere_body(seed: int) -> BodyArrays:
    """A small ball of skin around every joint, with random shape directions and neighbours' weights."""
    random = np.random.default_rng(seed)
    corners = np.array([(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)], float)
    triangles = [(0, 2, 4), (2, 1, 4), (1, 3, 4), (3, 0, 4), (2, 0, 5), (1, 2, 5), (3, 1, 5), (0, 3, 5)]
    count = 24 * len(corners)
    template = (_REST[:, None] + 0.05 * corners).reshape(count, 3) + random.normal(0, 0.003, (count, 3))
    weights, regressor = np.zeros((count, 24)), np.zeros((24, count))
    for joint in range(24):
        own = slice(joint * len(corners), (joint + 1) * len(corners))
        weights[own, joint] = 1
        weights[own, max(PARENTS[joint], 0)] += random.uniform(0, 1, len(corners))
        regressor[joint, own] = random.dirichlet(np.full(len(corners), 5.0))
    faces = np.array(
        [[j * len(corners) + corner for corner in face] for j in range(24) for face in triangles]
    )
    return BodyArrays(
        template.astype(np.float32),
        random.normal(0, 0.008, (count, 3, 10)).astype(np.float32),
        (weights / weights.sum(1, keepdims=True)).astype(np.float32),
        regressor.astype(np.float32),
        faces.astype(np.int32),
        random.uniform(0, 1, (200, 2)).astype(np.float32),
        random.integers(0, 200, faces.shape).astype(np.int32),
    )


def rotation(rotvec: np.ndarray) -> np.ndarray:
    """Rodrigues' formula for one axis-angle vector."""
    angle = np.linalg.norm(rotvec)
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = rotvec / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def forward_kinematics(
    rest: np.ndarray, pose: np.ndarray, trans: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Joints (24, 3) in the world and their rotations, for one frame: pelvis = trans + rest pelvis."""
    joints, turns = np.zeros((24, 3)), []
    for joint, parent in enumerate(PARENTS):
        local = rotation(pose[joint])
        if parent < 0:
            joints[joint] = rest[joint] + trans
            turns.append(local)
        else:
            joints[joint] = joints[parent] + turns[parent] @ (rest[joint] - rest[parent])
            turns.append(turns[parent] @ local)
    return joints, turns


def skinned(
    body: BodyArrays, betas: np.ndarray, pose: np.ndarray, trans: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Linear blend skinning of one frame: vertices (V, 3) and joints (24, 3) in the world."""
    rest = body.rest_joints(betas)
    joints, turns = forward_kinematics(rest, pose, trans)
    shaped = body.v_template + body.shapedirs.astype(float) @ betas
    vertices = np.zeros_like(shaped)
    for joint in range(24):
        share = body.weights[:, joint : joint + 1].astype(float)
        vertices += share * ((shaped - rest[joint]) @ turns[joint].T + joints[joint])
    return vertices, joints


def intrinsics(width: int, height: int) -> np.ndarray:
    return np.array([[1.1 * width, 0, width / 2], [0, 1.1 * width, height / 2], [0, 0, 1.0]])


def level_camera(count: int) -> np.ndarray:
    """A still camera 4 m in front of the origin, 1.4 m high, that looks along +y."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    matrix[:3, 3] = (0, -4, 1.4)
    return np.tile(matrix, (count, 1, 1))


def motion_arrays(
    count: int, seed: int, frame_rate: float = 30.0, angle: float = 0.6
) -> dict[str, np.ndarray]:
    """A motion file's arrays with random values that the format allows.

    Args:
        count: frames.
        seed: of the random numbers.
        frame_rate: of the clip.
        angle: standard deviation of the poses, radians; the root turns any way at all.
    """
    random = np.random.default_rng(seed)
    poses = random.normal(0, angle, (count, 24, 3))
    poses[:, 0] = random.normal(0, 1.5, (count, 3))
    meta = {
        "schema": 1,
        "version": "0.1.0",
        "model": "open",
        "body": "open",
        "settings": {"smooth": 1.5, "people": [1, 2], "start": None},
        "footage": {"name": "clip.mp4", "sha256": "0" * 64},
        "licences": {"body": "CC0-1.0", "weights": "Apache-2.0"},
    }
    return {
        "poses": poses.reshape(count, 72).astype(np.float32),
        "trans": random.uniform(-2, 2, (count, 3)).astype(np.float32),
        "betas": random.normal(0, 1, 10).astype(np.float32),
        "gender": np.array("neutral"),
        "mocap_framerate": np.float64(frame_rate),
        "surface_model_type": np.array("smpl"),
        "joints_camera": random.normal(0, 1, (count, 24, 3)).astype(np.float32),
        "frame_indices": np.arange(count, dtype=np.int64),
        "timestamps": np.arange(count) / frame_rate,
        "confidence": random.uniform(0, 1, (count, 24)).astype(np.float32),
        "contacts": random.uniform(0, 1, (count, 4)).astype(np.float32),
        "boxes": np.tile(np.array([10, 20, 100, 200], np.float32), (count, 1)),
        "camera_intrinsics": intrinsics(1920, 1080),
        "world_from_camera": level_camera(count),
        "image_size": np.array([1920, 1080], np.int64),
        "meta": np.array(json.dumps(meta)),
    }


def write_motion(path: Path, count: int = 5, seed: int = 0, **changes: object) -> Path:
    """Write a motion file; `changes` replace arrays, None leaves one out."""
    frame_rate = float(changes.get("mocap_framerate") or 30.0)
    arrays = motion_arrays(count, seed, frame_rate) | changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path
