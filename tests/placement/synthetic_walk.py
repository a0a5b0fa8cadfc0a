# SPDX-License-Identifier: Apache-2.0
"""People who walk, turn and stand without sliding: truth, and what an estimator would make of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import roma
import torch

from fasthmr.body.skeleton import INDEX
from fasthmr.evidence import BodyEstimate, Evidence
from fasthmr.placement.figure import Figure
from fasthmr.placement.gravity import world_axes
from fasthmr.placement.soles import find_soles
from tests.decoder.landmark_fit.synthetic import BODY, INTRINSICS, walk

HEIGHT = 1.5  # of the camera over the floor, metres


@dataclass(frozen=True)
class Truth:
    """A walk in the world: ``figure`` on the floor z = 0, contacts (T, 4), time stamps."""

    figure: Figure
    contacts: np.ndarray
    timestamps: np.ndarray


def true_walk(frames: int = 150, frame_rate: float = 30.0, heading: float = 0.6, depth: float = 4.0) -> Truth:
    """A walk with level feet: the lower foot stands and does not move, the other swings.

    Args:
        frames: T.
        frame_rate: per second.
        heading: radians from the world's +x toward +y (away from the camera).
        depth: metres from the camera to where it starts.
    """
    turns = roma.rotmat_to_rotvec(walk(frames, frame_rate)[0])
    for side in ("left", "right"):
        bend = turns[:, INDEX[f"{side}_hip"], 0] + turns[:, INDEX[f"{side}_knee"], 0]
        turns[:, INDEX[f"{side}_ankle"], 0] = -bend
    rotations = roma.rotvec_to_rotmat(turns)
    body_to_world = roma.rotvec_to_rotmat(torch.tensor([math.pi / 2, 0.0, 0.0]))  # y up to z up, z to -y
    yaw = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, heading + math.pi / 2]))
    rotations[:, 0] = yaw @ body_to_world
    betas = torch.zeros(10)
    joints, frames_of = BODY.joints(rotations, betas)
    soles = find_soles(BODY, betas).place(joints, frames_of).numpy().astype(np.float64)
    feet = soles.reshape(frames, 2, 2, 3).mean(2)
    stance = feet[:, :, 2].argmin(1)
    rows = np.arange(frames)
    # Between two frames the body moves so that the foot that stands in the first stays where it is.
    steps = feet[rows[:-1], stance[:-1], :2] - feet[rows[1:], stance[:-1], :2]
    translation = np.zeros((frames, 3))
    translation[1:, :2] = np.cumsum(steps, axis=0)
    translation[:, 2] = -feet[rows, stance, 2]
    translation[:, :2] += np.array([-0.5, depth]) - joints[0, 0, :2].numpy()
    contacts = np.zeros((frames, 2), np.float32)
    contacts[rows, stance] = 1
    figure = Figure(rotations.numpy().astype(np.float64), translation, betas.numpy())
    return Truth(figure, contacts.repeat(2, axis=1), rows / frame_rate)


def smooth_noise(shape: tuple[int, ...], hertz: float, frame_rate: float, seed: int) -> np.ndarray:
    """Noise along the first axis that holds nothing much faster than a frequency; deviation 1."""
    rng = np.random.default_rng(seed)
    reach = max(1, int(frame_rate / hertz))
    window = np.hanning(2 * reach + 3)[1:-1]
    white = rng.normal(size=(shape[0] + 2 * reach, *shape[1:]))
    moved = np.apply_along_axis(lambda column: np.convolve(column, window, "valid"), 0, white)
    return moved / np.sqrt(np.square(window).sum())


def seen(
    truth: Truth,
    *,
    pitch: float = 0.0,
    roll: float = 0.0,
    path_noise: tuple[float, float] = (0.0, 0.0),
    pose_noise: float = 0.0,
    up_noise: float = 0.0,
    seed: int = 0,
    knows: bool = True,
) -> tuple[BodyEstimate, Evidence]:
    """What a decoder makes of a walk, seen by a camera that looks down by ``pitch`` and is rolled.

    Args:
        truth: the walk.
        pitch: radians; positive looks down.
        roll: radians.
        path_noise: deviation across the view (metres) and along it (share of the distance), about 1 Hz.
        pose_noise: deviation of each joint's rotation, radians.
        up_noise: of up in each frame, radians.
        seed: of the noise.
        knows: whether the estimate holds up and contacts.
    """
    frames = len(truth.timestamps)
    frame_rate = 1 / float(np.median(np.diff(truth.timestamps)))
    up = np.array([math.sin(roll) * math.cos(pitch), -math.cos(roll) * math.cos(pitch), -math.sin(pitch)])
    axes = world_axes(up)  # the camera stands over the origin
    rest_pelvis = BODY.rest_joints(torch.zeros(10))[0].numpy().astype(np.float64)
    lens = Figure(truth.figure.rotations, truth.figure.translation - [0, 0, HEIGHT], truth.figure.betas)
    figure = lens.moved(axes.T, np.zeros(3), rest_pelvis)
    turns = torch.from_numpy(pose_noise * smooth_noise((frames, 24, 3), 1.5, frame_rate, seed))
    turns[:, [INDEX["left_hand"], INDEX["right_hand"]]] = 0
    rotations = (torch.from_numpy(figure.rotations) @ roma.rotvec_to_rotmat(turns)).numpy()
    place = figure.translation + rest_pelvis
    distance = np.linalg.norm(place, axis=1, keepdims=True)
    across, along = path_noise
    place = place + across * smooth_noise((frames, 3), 1.0, frame_rate, seed + 1)
    place = place * (1 + along * smooth_noise((frames, 1), 1.0, frame_rate, seed + 2))
    guess = Figure(rotations, place - rest_pelvis, figure.betas)
    ups = up + up_noise * smooth_noise((frames, 3), 1.0, frame_rate, seed + 3)
    ups /= np.linalg.norm(ups, axis=1, keepdims=True)
    noise = 0.15 * smooth_noise((frames, 4), 3.0, frame_rate, seed + 4)
    estimate = BodyEstimate(
        rotations=rotations.astype(np.float32),
        betas=figure.betas,
        translation=guess.translation.astype(np.float32),
        joints=guess.joints(BODY)[0].astype(np.float32),
        confidence=np.full((frames, 24), 0.8, np.float32),
        up=ups.astype(np.float32) if knows else None,
        contacts=(0.1 + 0.8 * truth.contacts + noise).clip(0, 1).astype(np.float32) if knows else None,
    )
    pixels = place @ INTRINSICS.T
    middle = pixels[:, :2] / pixels[:, 2:]
    half = 0.9 * INTRINSICS[0, 0] / distance
    evidence = Evidence(
        frame_indices=np.arange(frames),
        timestamps=truth.timestamps,
        boxes=np.concatenate([middle - half, middle + half], axis=1).astype(np.float32),
        image_size=(1280, 720),
        frame_rate=frame_rate,
        intrinsics=INTRINSICS,
        landmarks_image=np.zeros((frames, 33, 3), np.float32),
        landmarks_world=np.zeros((frames, 33, 3), np.float32),
        visibility=np.ones((frames, 33), np.float32),
    )
    return estimate, evidence
