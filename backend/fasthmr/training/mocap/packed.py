# SPDX-License-Identifier: Apache-2.0
"""Motion in SMPL's layout as a folder of arrays that are read where they lie.

A set is a folder of ``quaternions.npy`` (N, 24, 4; w x y z), ``pelvis.npy`` (N, 3), ``contacts.npy``
(N, 4) and ``clips.json``; N counts the frames of all clips, one clip after another, at 30 frames a
second. World: z up, metres, the floor at z = 0. The body is the open one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from fasthmr.body.skeleton import JOINT_COUNT
from fasthmr.errors import BadInput

FRAME_RATE: Final = 30.0

Split = Literal["train", "validation", "test"]

_FORMAT: Final = "fasthmr mocap set"
_VERSION: Final = 1
# A trial is held back for validation when its name's hash falls in this part of all hashes.
_VALIDATION_SHARE: Final = 0.04

# What is done, by words in a label or a name; the first that fits counts.
_ACTIVITIES: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("salsa", ("salsa",)),
    ("playground", ("playground", "climb")),
    ("floor", ("get up", "fall", "roll", "laying", "slip", "stumble", "recover")),
    ("acrobatics", ("cartwheel", "flip", "handstand", "helicopter", "jumptwist", "swing body")),
    ("dance", ("dance", "indian", "pirouette", "ballet")),
    ("fight", ("martial", "punch", "kick", "sword", "empi", "geri", "barai", "heian", "oiduki", "uke")),
    ("ball", ("basketball", "soccer", "golf", "swing")),
    ("jump", ("jump", "hop", "leap")),
    ("arms", ("wash", "traffic", "bend over", "signal")),
    ("run", ("run", "jog")),
    ("walk", ("walk", "stride")),
)


@dataclass(frozen=True)
class PackedMotion:
    """One clip on its way into a set.

    Attributes:
        name: unique in the set.
        skeleton: naming of the joints of the source it comes from.
        subject: number of the captured person, or None.
        label: what is done.
        split: what the clip may be used for.
        source_frame_rate: frames per second of the source.
        betas: (10,) body shape.
        rotations: (T, 24, 3, 3) of the joints in their parents, the root in the world, z up.
        pelvis: (T, 3) pelvis joint in the world, metres.
        contacts: (T, 4) 0..1: left heel, left toe, right heel, right toe.
    """

    name: str
    skeleton: str
    subject: int | None
    label: str
    split: Split
    source_frame_rate: float
    betas: NDArray[np.float32]
    rotations: NDArray[np.float32]
    pelvis: NDArray[np.float32]
    contacts: NDArray[np.float32]


@dataclass(frozen=True)
class MocapClip:
    """Where a clip lies in a set, and what it is.

    Attributes:
        name, skeleton, subject, label, split, source_frame_rate: as in :class:`PackedMotion`.
        start: first of its frames in the arrays of the set.
        count: number of frames, 30 a second.
        betas: 10 shape coefficients.
    """

    name: str
    skeleton: str
    subject: int | None
    label: str
    split: Split
    start: int
    count: int
    source_frame_rate: float
    betas: list[float] = field(default_factory=lambda: [0.0] * 10)


class MocapSet:
    """A set that was opened; its arrays stay on disk until they are asked for.

    Attributes:
        folder: where the set lies.
        clips: all of them, in the order in which they lie.
    """

    def __init__(self, folder: Path, clips: tuple[MocapClip, ...]) -> None:
        self.folder = Path(folder)
        self.clips = clips
        frames = sum(clip.count for clip in clips)
        self._quaternions = _mapped(self.folder / "quaternions.npy", (frames, JOINT_COUNT, 4))
        self._pelvis = _mapped(self.folder / "pelvis.npy", (frames, 3))
        self._contacts = _mapped(self.folder / "contacts.npy", (frames, 4))

    @classmethod
    def open(cls, folder: str | Path) -> MocapSet:
        """Open a set.

        Raises:
            BadInput: there is none, it is of another version, or its arrays do not fit its clips.
        """
        path = Path(folder) / "clips.json"
        if not path.is_file():
            raise BadInput(
                f"{folder} is not a motion capture set: it has no clips.json. "
                "Make one with `fasthmr train mocap --data DIR --out DIR`."
            )
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != _FORMAT or content["version"] != _VERSION:
                raise BadInput(f"{path} is of another kind or version. Make the set again.")
            clips = tuple(MocapClip(**clip) for clip in content["clips"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{path} cannot be read ({error}). Make the set again.") from error
        return cls(Path(folder), clips)

    def of_split(self, split: Split) -> tuple[MocapClip, ...]:
        """The clips of one split."""
        return tuple(clip for clip in self.clips if clip.split == split)

    def rotations(self, start: int, count: int) -> NDArray[np.float32]:
        """(count, 24, 3, 3) rotations of the joints in their parents, the root's in the world (z up)."""
        return matrices_from_quaternions(np.asarray(self._quaternions[start : start + count]))

    def quaternions(self, start: int, count: int) -> NDArray[np.float32]:
        """(count, 24, 4) the same as unit quaternions, w x y z."""
        return np.array(self._quaternions[start : start + count])

    def pelvis(self, start: int, count: int) -> NDArray[np.float32]:
        """(count, 3) pelvis joint in the world, metres; the floor is z = 0."""
        return np.array(self._pelvis[start : start + count])

    def contacts(self, start: int, count: int) -> NDArray[np.float32]:
        """(count, 4) 0..1 for left heel, left toe, right heel, right toe."""
        return np.array(self._contacts[start : start + count])


def write_mocap_set(folder: str | Path, clips: Iterable[PackedMotion]) -> MocapSet:
    """Write a set, whole or not at all.

    Args:
        folder: a new or an empty one.
        clips: consumed one by one; names must differ.

    Raises:
        BadInput: the folder holds something already or cannot be written to, or there is no clip.
        ValueError: a name twice, arrays that do not fit each other, or numbers that are not finite.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder} is there already and not empty. Choose a new folder for the set.")
    listed: list[MocapClip] = []
    parts: dict[str, list[np.ndarray]] = {"quaternions": [], "pelvis": [], "contacts": []}
    start = 0
    for clip in clips:
        count = len(clip.rotations)
        _check(clip, {other.name for other in listed})
        parts["quaternions"].append(quaternions_from_matrices(clip.rotations))
        parts["pelvis"].append(clip.pelvis.astype(np.float32))
        parts["contacts"].append(clip.contacts.astype(np.float32))
        listed.append(
            MocapClip(
                clip.name,
                clip.skeleton,
                clip.subject,
                clip.label,
                clip.split,
                start,
                count,
                float(clip.source_frame_rate),
                [float(value) for value in clip.betas],
            )
        )
        start += count
    if not listed:
        raise BadInput(f"No clip is left for the set {folder}. Look at the report of the conversion.")
    content: dict[str, Any] = {
        "format": _FORMAT,
        "version": _VERSION,
        "frame_rate": FRAME_RATE,
        "clips": [asdict(clip) for clip in listed],
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
        try:
            for name, arrays in parts.items():
                np.save(part / f"{name}.npy", np.concatenate(arrays), allow_pickle=False)
            (part / "clips.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
            if os.name == "posix":
                part.chmod(0o755)  # mkdtemp's is for its owner alone
            if folder.exists():
                folder.rmdir()
            part.replace(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise BadInput(
            f"{folder} cannot be written: {error.strerror or error}. Choose another folder."
        ) from error
    return MocapSet(folder, tuple(listed))


def split_of(trial: str, held_out: bool) -> Split:
    """What a trial may be used for, the same on every machine and in every set.

    Args:
        trial: name of the recorded trial ("05_13"); versions of it on other skeletons share it.
        held_out: it is kept for tests.
    """
    if held_out:
        return "test"
    number = int.from_bytes(hashlib.sha256(trial.encode()).digest()[:8], "big") / 2**64
    return "validation" if number < _VALIDATION_SHARE else "train"


def activity(clip: MocapClip | PackedMotion) -> str:
    """The kind of motion in a word, from label and name; "other" where nothing is known."""
    text = f"{clip.label} {clip.name}".lower().replace("_", " ")
    for name, words in _ACTIVITIES:
        if any(word in text for word in words):
            return name
    return "other"


def sampling_weights(clips: Sequence[MocapClip]) -> NDArray[np.float64]:
    """How often to draw from each clip, so that no kind of motion drowns the others.

    Clips of one activity and one skeleton are a group. A group is drawn by the square root of its
    length, halfway between drawing frames equally and drawing groups equally; a clip inside it by
    its length.

    Returns:
        (len(clips),) that sum to 1.
    """
    if not clips:
        return np.zeros(0)
    groups = [(activity(clip), clip.skeleton) for clip in clips]
    length: dict[tuple[str, str], int] = {}
    for group, clip in zip(groups, clips, strict=True):
        length[group] = length.get(group, 0) + clip.count
    weights = np.array(
        [clip.count / np.sqrt(max(length[group], 1)) for group, clip in zip(groups, clips, strict=True)]
    )
    return weights / weights.sum()


def matrices_from_quaternions(quaternions: np.ndarray) -> NDArray[np.float32]:
    """(..., 4) unit quaternions, w x y z -> (..., 3, 3) rotations."""
    w, x, y, z = np.moveaxis(quaternions, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2).astype(np.float32)


def quaternions_from_matrices(rotations: np.ndarray) -> NDArray[np.float32]:
    """(..., 3, 3) rotations -> (..., 4) unit quaternions w x y z, w not negative.

    The largest of the four numbers is found first, as the others are divided by it (Shepperd, 1978).
    """
    m = np.asarray(rotations, np.float64)
    x, y, z = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    squares = np.stack([1 + x + y + z, 1 + x - y - z, 1 - x + y - z, 1 - x - y + z], -1)
    a, b, c = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    d, e, f = m[..., 1, 0] + m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0], m[..., 2, 1] + m[..., 1, 2]
    rows = np.stack(
        [
            np.stack([squares[..., 0], a, b, c], -1),
            np.stack([a, squares[..., 1], d, e], -1),
            np.stack([b, d, squares[..., 2], f], -1),
            np.stack([c, e, f, squares[..., 3]], -1),
        ],
        -2,
    )
    best = squares.argmax(-1)[..., None, None]
    quaternions = np.take_along_axis(rows, best, -2)[..., 0, :]
    quaternions /= np.linalg.norm(quaternions, axis=-1, keepdims=True)
    return np.where(quaternions[..., :1] < 0, -quaternions, quaternions).astype(np.float32)


def _check(clip: PackedMotion, taken: set[str]) -> None:
    count = len(clip.rotations)
    if clip.name in taken:
        raise ValueError(f"two clips are called {clip.name}")
    shapes = {
        "rotations": (clip.rotations.shape, (count, JOINT_COUNT, 3, 3)),
        "pelvis": (clip.pelvis.shape, (count, 3)),
        "contacts": (clip.contacts.shape, (count, 4)),
        "betas": (np.shape(clip.betas), (10,)),
    }
    for name, (shape, wanted) in shapes.items():
        if shape != wanted:
            raise ValueError(f"{clip.name}: {name} are {shape}, not {wanted}")
    if not all(np.isfinite(a).all() for a in (clip.rotations, clip.pelvis, clip.contacts, clip.betas)):
        raise ValueError(f"{clip.name}: numbers that are not finite")


def _mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read ({error}). Make the set again.") from error
    if array.shape != shape or array.dtype != np.float32:
        raise BadInput(f"{path} holds {array.dtype} {array.shape}, not {shape}. Make the set again.")
    return array
