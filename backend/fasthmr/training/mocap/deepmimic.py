# SPDX-License-Identifier: Apache-2.0
"""Motion of the DeepMimic project (Peng et al., SIGGRAPH 2018): json, a humanoid of 15 joints.

A frame is its duration, the root's place and turn, then for each joint in the character file's order a
quaternion (w x y z) or, for knees and elbows, an angle about z. The figure faces +x, y is up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.spatial.transform import Rotation

from fasthmr.errors import BadInput
from fasthmr.training.mocap.source_motion import SourceMotion
from fasthmr.training.mocap.world_axes import z_up_from_y_up

_NUMBERS: Final = {"none": 7, "spherical": 4, "revolute": 1, "fixed": 0}
_SMALLEST_QUATERNION: Final = 0.1  # unit ones are written with a few digits; far from unit is damage
# Ends of the shapes that the character file hangs on its last joints.
_ENDS: Final = {
    "head_end": ("neck", (0.0, 0.275, 0.0)),
    "right_ankle_end": ("right_ankle", (0.13, -0.03, 0.0)),
    "left_ankle_end": ("left_ankle", (0.13, -0.03, 0.0)),
    "right_wrist_end": ("right_wrist", (0.0, -0.08, 0.0)),
    "left_wrist_end": ("left_wrist", (0.0, -0.08, 0.0)),
}


@dataclass(frozen=True)
class Character:
    """The humanoid of a character file.

    Attributes:
        names: of the joints.
        parents: (J,) int.
        offsets: (J, 3) metres from the parent at rest.
        kinds: "none" (root), "spherical", "revolute" or "fixed".
    """

    names: tuple[str, ...]
    parents: np.ndarray
    offsets: np.ndarray
    kinds: tuple[str, ...]


def read_character(text: str, name: str) -> Character:
    """Read the skeleton of a character file.

    Raises:
        BadInput: it is no character file.
    """
    try:
        joints = json.loads(text)["Skeleton"]["Joints"]
        offsets = [[float(joint[f"Attach{axis}"]) for axis in "XYZ"] for joint in joints]
        kinds = tuple(joint["Type"] for joint in joints)
        numbers = [_NUMBERS[kind] for kind in kinds]
        parents = np.array([int(joint["Parent"]) for joint in joints])
        names = tuple(joint["Name"] for joint in joints)
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{name} is no character of DeepMimic ({error!r}).") from error
    if not numbers or numbers[0] != 7 or 7 in numbers[1:]:
        raise BadInput(f"{name} is no character of DeepMimic: its first joint, and no other, is the root.")
    if parents[0] >= 0 or ((parents[1:] < 0) | (parents[1:] >= np.arange(1, len(parents)))).any():
        raise BadInput(f"{name} is no character of DeepMimic: a joint's parent must come before it.")
    return Character(names, parents, np.array(offsets), kinds)


def read_deepmimic(
    text: str,
    character: Character,
    name: str,
    subject: int | None = None,
    trial: int | None = None,
    label: str = "",
) -> SourceMotion:
    """Read a motion.

    Args:
        text: of the file.
        character: its skeleton.
        name: of the clip.
        subject: number of the person.
        trial: number of the trial.
        label: what is done.

    Raises:
        BadInput: it is no such motion, or of another skeleton.
    """
    values = _frames(text, name)
    width = 1 + sum(_NUMBERS[kind] for kind in character.kinds)
    if values.shape[1] != width:
        raise BadInput(f"{name}: a frame has {values.shape[1]} numbers; this skeleton has {width}.")
    placed, turned = [], []
    column = 1
    for index, kind in enumerate(character.kinds):
        own = values[:, column : column + _NUMBERS[kind]]
        column += _NUMBERS[kind]
        try:
            turn = _turn(own, kind)
        except ValueError as error:
            raise BadInput(f"{name} holds no motion: {error} at {character.names[index]}.") from error
        above = int(character.parents[index])
        if above < 0:
            placed.append(own[:, :3])
            turned.append(turn)
        else:
            placed.append(placed[above] + turned[above].apply(character.offsets[index]))
            turned.append(turned[above] * turn)
    names, parents = list(character.names), list(character.parents)
    for end, (joint, offset) in _ENDS.items():
        if joint in character.names:
            above = character.names.index(joint)
            placed.append(placed[above] + turned[above].apply(offset))
            names.append(end)
            parents.append(above)
    return SourceMotion(
        name=name,
        skeleton="deepmimic",
        frame_rate=1 / float(np.median(values[:, 0])),
        joint_names=tuple(names),
        parents=np.array(parents),
        positions=z_up_from_y_up(np.stack(placed, axis=1)).astype(np.float32),
        subject=subject,
        trial=trial,
        label=label,
        end_points=frozenset(_ENDS) & frozenset(names),
    )


def _turn(values: np.ndarray, kind: str) -> Rotation:
    if kind == "fixed":
        return Rotation.identity(len(values))
    if kind == "revolute":
        return Rotation.from_rotvec(values * np.array([0.0, 0.0, 1.0]))
    quaternions = values[:, -4:][:, [1, 2, 3, 0]]
    if (np.linalg.norm(quaternions, axis=1) < _SMALLEST_QUATERNION).any():
        raise ValueError("a quaternion is zero")
    return Rotation.from_quat(quaternions)


def _frames(text: str, name: str) -> np.ndarray:
    try:
        content: Any = json.loads(text)
        values = np.array(content["Frames"], dtype=np.float64)
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{name} is no motion of DeepMimic ({error!r}).") from error
    if values.ndim != 2 or len(values) < 2 or not np.isfinite(values).all() or (values[:-1, 0] <= 0).any():
        raise BadInput(f"{name} holds no motion: its frames are empty, broken or without duration.")
    return values
