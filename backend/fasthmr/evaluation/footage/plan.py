# SPDX-License-Identifier: Apache-2.0
"""What is filmed: which held-out motions, on which bodies, how, where, and the truth of every frame.

Everything random is drawn here from a seed; the renderer only follows.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fasthmr.body import BodyModel
from fasthmr.errors import BadCall, BadInput
from fasthmr.evaluation.footage.cameras import SET_UPS, SetUp, Shot, film, project
from fasthmr.evaluation.footage.performance import Performance, dressed_vertices, perform, pose_points
from fasthmr.evaluation.footage.place import Place, furnish, linear
from fasthmr.training.mocap.packed import FRAME_RATE, MocapClip, MocapSet, activity
from fasthmr.training.synthesis.look import Wardrobe

# A camera that moves has every pixel of every frame rendered: fewer of them.
IMAGE_SIZES: Final[dict[SetUp, tuple[int, int]]] = {
    "still": (960, 540),
    "high": (960, 540),
    "moving": (768, 432),
}
_SAMPLES: Final = 2  # rays a pixel; the video's coder takes away what noise they leave
_SHORTEST: Final = 5.0  # seconds
_OTHER_BODIES: Final = 5
_WINDOWS: Final = 4  # spans of a clip that are tried
_GOOD: Final = 0.97
_EVERY: Final = 40  # one vertex of so many stands for the body when a camera is chosen
_BOX_MARGIN: Final = 6  # pixels


@dataclass(frozen=True)
class Sequence:
    """One piece of footage to be.

    Attributes:
        name: of its files, unique.
        clip: the motion's name in the set.
        performance: motion and body.
        shot: the camera.
        place: the surroundings.
        seed: what the clothes are drawn from.
    """

    name: str
    clip: str
    performance: Performance
    shot: Shot
    place: Place
    seed: tuple[int, int]


def plan_sequences(
    mocap: MocapSet, body: BodyModel, count: int = 12, seconds: float = 5.0, seed: int = 0
) -> list[Sequence]:
    """Choose motions of the test split, each clip once, and film them in turn with every set-up.

    Args:
        mocap: where the motions come from.
        body: the open body.
        count: number of sequences.
        seconds: length of each; a shorter clip is taken whole, from 5 seconds on.
        seed: the same seed gives the same footage.

    Raises:
        BadCall: count or seconds make no sense.
        BadInput: the set has too few clips in its test split.
    """
    if count < 1 or seconds <= 0:
        raise BadCall("Footage needs at least one sequence of more than 0 seconds.")
    frames = round(seconds * FRAME_RATE)
    clips = choose_clips(mocap, count, min(frames, round(_SHORTEST * FRAME_RATE)), seed)
    bodies = other_bodies(seed)
    planned = []
    for number, clip in enumerate(clips):
        # Set-ups take turns; so do bodies, at another pace: the clip's own, then the drawn ones.
        own = np.array(clip.betas, np.float32)
        turn = number % (len(bodies) + 1)
        betas = own if turn == 0 else bodies[turn - 1]
        planned.append(_plan(mocap, body, clip, betas, SET_UPS[number % 3], number, frames, seed))
    return planned


def choose_clips(mocap: MocapSet, count: int, shortest: int, seed: int) -> list[MocapClip]:
    """Test clips of at least so many frames, one activity after another, in a drawn order.

    Raises:
        BadInput: there are not enough.
    """
    random = np.random.default_rng([seed, 1])
    groups: dict[str, list[MocapClip]] = {}
    usable = [clip for clip in mocap.of_split("test") if clip.count >= shortest]
    for index in random.permutation(len(usable)):
        # The label tells walks to the left from walks that stop.
        groups.setdefault(f"{activity(usable[index])} {usable[index].label}", []).append(usable[index])
    if len(usable) < count:
        raise BadInput(
            f"{mocap.folder} has {len(usable)} test clips of {shortest / FRAME_RATE:.1f} seconds or more, "
            f"fewer than {count}. Ask for fewer or shorter sequences."
        )
    chosen: list[MocapClip] = []
    queues = [groups[name] for name in sorted(groups)]
    while len(chosen) < count:
        chosen += [queue.pop() for queue in queues if queue]
    return chosen[:count]


def other_bodies(seed: int) -> NDArray[np.float32]:
    """(5, 10) shapes to be filmed besides the captured ones; none is far from what people look like."""
    random = np.random.default_rng([seed, 2])
    bodies = random.normal(size=(_OTHER_BODIES, 10)).clip(-1.6, 1.6)
    # Stature and weight spread evenly, so that a few bodies differ clearly.
    bodies[:, 0] = random.permutation(np.linspace(-1.3, 1.3, _OTHER_BODIES))
    return bodies.astype(np.float32)


def truth_of(sequence: Sequence) -> dict[str, np.ndarray]:
    """The arrays of ``<name>.truth.npz``.

    clip, set_up; frame_rate; image_size (2,); intrinsics (3, 3); camera_from_world (T, 4, 4) float64
    (OpenCV; world z up, floor at 0, metres); rotations (T, 24, 3, 3) float32 with the root in the camera's
    frame; pelvis (T, 3) in the camera's frame; betas (10,) of the open body; contacts (T, 4) 0 or 1: left
    heel, left toe, right heel, right toe; visible (T,): half the joints or more are in the picture.
    """
    performance, shot = sequence.performance, sequence.shot
    turn, shift = shot.camera_from_world[:, :3, :3], shot.camera_from_world[:, :3, 3]
    rotations = performance.rotations.copy()
    rotations[:, 0] = (turn @ performance.rotations[:, 0].astype(np.float64)).astype(np.float32)
    pixels, depth = project(performance.joints, shot.intrinsics, shot.camera_from_world)
    inside = ((pixels >= 0) & (pixels < np.array(shot.image_size))).all(-1) & (depth > 0)
    return {
        "clip": np.array(sequence.clip),
        "set_up": np.array(shot.set_up),
        "frame_rate": np.array(FRAME_RATE),
        "image_size": np.array(shot.image_size),
        "intrinsics": shot.intrinsics,
        "camera_from_world": shot.camera_from_world,
        "rotations": rotations,
        "pelvis": np.einsum("tab,tb->ta", turn, performance.pelvis) + shift,
        "betas": performance.betas,
        "contacts": performance.contacts,
        "visible": inside.mean(1) >= 0.5,
    }


def scene_of(sequence: Sequence, body: BodyModel) -> dict[str, np.ndarray]:
    """The arrays that the renderer follows (see ``blender_scene.py``): vertices, colours, camera, place."""
    random = np.random.default_rng([*sequence.seed, 3])
    look = Wardrobe(body).random_look(random)
    vertices = dressed_vertices(body, sequence.performance, look, random)
    shot, place = sequence.shot, sequence.place
    scene: dict[str, np.ndarray] = {
        "vertices": vertices,
        "faces": body.faces.numpy().astype(np.int32),
        "rest": body.v_template.numpy().astype(np.float32),
        "colours": linear(look.colours).astype(np.float32),
        "world_from_camera": shot.world_from_camera,
        "intrinsics": shot.intrinsics,
        "image_size": np.array(shot.image_size),
        "still": np.array(shot.set_up != "moving"),
        "samples": np.array(_SAMPLES),
        "boxes": changing_boxes(vertices, place.sun, shot),
    }
    for part in fields(place):
        scene[part.name] = np.asarray(getattr(place, part.name))
    return scene


def changing_boxes(vertices: np.ndarray, sun: np.ndarray, shot: Shot) -> NDArray[np.int64]:
    """(T, 4) left, top, right, bottom in pixels around the person and the shadow on the floor."""
    some = vertices[:, ::7].astype(np.float64)
    shadow = some - (some[..., 2:] / sun[2]) * sun
    pixels, _ = project(np.concatenate([some, shadow], axis=1), shot.intrinsics, shot.camera_from_world)
    size = np.array(shot.image_size)
    low = np.floor(pixels.min(1)) - _BOX_MARGIN
    high = np.ceil(pixels.max(1)) + _BOX_MARGIN
    low, high = low.clip(0, size - 2), high.clip(2, size)
    return np.concatenate([low, np.maximum(high, low + 2)], axis=1).astype(np.int64)


def _plan(
    mocap: MocapSet,
    body: BodyModel,
    clip: MocapClip,
    betas: np.ndarray,
    set_up: SetUp,
    number: int,
    frames: int,
    seed: int,
) -> Sequence:
    random = np.random.default_rng([seed, 100 + number])
    length = min(frames, clip.count)
    best: tuple[Performance, Shot] | None = None
    for _ in range(_WINDOWS):
        start = clip.start + int(random.integers(clip.count - length + 1))
        performance = perform(
            body,
            mocap.rotations(start, length),
            mocap.pelvis(start, length),
            mocap.contacts(start, length),
            np.array(clip.betas, np.float32),
            betas,
        )
        points = _outline(body, performance)
        size = IMAGE_SIZES[set_up]
        shot = film(set_up, points, performance.pelvis, performance.stature, size, FRAME_RATE, random)
        if best is None or shot.whole > best[1].whole:
            best = performance, shot
        if shot.whole >= _GOOD:
            break
    assert best is not None  # noqa: S101 - for the type checker
    performance, shot = best
    place = furnish(performance.joints, shot.world_from_camera[:, :3, 3], random)
    label = "_".join(clip.label.lower().split()) or activity(clip)
    name = f"{number + 1:02}_{set_up}_{label}"
    return Sequence(name, clip.name, performance, shot, place, (seed, 100 + number))


def _outline(body: BodyModel, performance: Performance) -> NDArray[np.float32]:
    """(T, N, 3) vertices all over the body."""
    rest = body.v_template.numpy() + np.einsum("vcs,s->vc", body.shapedirs.numpy(), performance.betas)
    extremes = np.concatenate([rest.argmin(0), rest.argmax(0)])
    chosen = np.union1d(np.arange(0, len(rest), _EVERY), extremes)
    return pose_points(body, performance.betas, rest, performance.rotations, performance.pelvis, chosen)
