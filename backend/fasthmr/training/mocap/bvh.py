# SPDX-License-Identifier: Apache-2.0
"""Biovision's BVH: a skeleton of offsets, and channels of Euler angles in an order of each joint's own.

Source: M. Meredith and S. Maddock, "Motion Capture File Formats Explained" (University of Sheffield, 2001).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.spatial.transform import Rotation

from fasthmr.errors import BadInput
from fasthmr.training.mocap.source_motion import SourceMotion
from fasthmr.training.mocap.world_axes import z_up_from_y_up


@dataclass(frozen=True)
class BvhKind:
    """What a family of BVH files does not say itself.

    Attributes:
        skeleton: naming of joints, as :class:`SourceMotion` has it.
        unit: metres of one unit.
        skip: frames at the start that are a rest pose.
    """

    skeleton: str
    unit: float
    skip: int = 0


_CHANNELS: Final = frozenset(f"{axis}{kind}" for axis in "xyz" for kind in ("position", "rotation"))

#: Poser's skeleton of the acRNN project: centimetres.
ACRNN: Final = BvhKind("acrnn_bvh", 0.01)
#: Character Creator's: centimetres; the first frame is a T-pose.
CC_BASE: Final = BvhKind("cc_base", 0.01, skip=1)


@dataclass
class _Joint:
    name: str
    parent: int
    offset: np.ndarray
    channels: tuple[str, ...] = ()


def read_bvh(
    text: str,
    kind: BvhKind,
    name: str,
    frame_rate: float | None = None,
    subject: int | None = None,
    trial: int | None = None,
    label: str = "",
) -> SourceMotion:
    """Read a BVH file.

    Args:
        text: of the file.
        kind: which family it belongs to.
        name: of the clip.
        frame_rate: frames per second; None for what the file says.
        subject: number of the person.
        trial: number of the trial.
        label: what is done.

    Returns:
        The joints; an end site is a joint too, its parent's name with ``_end``.

    Raises:
        BadInput: it is not a BVH file, or it is cut off; with the line.
    """
    lines = text.splitlines()
    joints, at = _hierarchy(lines, name)
    values, step = _motion(lines, at, sum(len(joint.channels) for joint in joints), name)
    if len(values) <= kind.skip:
        raise BadInput(f"{name} holds no motion: {len(values)} frames.")
    positions = kind.unit * _place(joints, values[kind.skip :])
    return SourceMotion(
        name=name,
        skeleton=kind.skeleton,
        frame_rate=frame_rate or 1 / step,
        joint_names=tuple(joint.name for joint in joints),
        parents=np.array([joint.parent for joint in joints]),
        positions=z_up_from_y_up(positions).astype(np.float32),
        subject=subject,
        trial=trial,
        label=label,
        end_points=frozenset(joint.name for joint in joints if joint.name.endswith("_end")),
    )


def _hierarchy(lines: list[str], name: str) -> tuple[list[_Joint], int]:
    """The joints, and the number of the line after ``MOTION``."""
    joints: list[_Joint] = []
    above: list[int] = [-1]
    opened = -1
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0] == "HIERARCHY":
            continue
        try:
            if words[0] == "MOTION":
                if not joints or above != [-1]:
                    raise ValueError("the hierarchy is not closed")
                return joints, number
            if words[0] in ("ROOT", "JOINT", "End"):
                label = f"{joints[above[-1]].name}_end" if words[0] == "End" else words[1]
                joints.append(_Joint(label, above[-1], np.zeros(3)))
                opened = len(joints) - 1
            elif words[0] == "{":
                above.append(opened)
            elif words[0] == "}":
                if len(above) == 1:
                    raise ValueError("a brace too many")
                above.pop()
            elif words[0] in ("OFFSET", "CHANNELS") and above[-1] < 0:
                raise ValueError(f"{words[0]} belongs to no joint")
            elif words[0] == "OFFSET":
                x, y, z = (float(word) for word in words[1:])
                joints[above[-1]].offset = np.array([x, y, z])
            elif words[0] == "CHANNELS":
                joints[above[-1]].channels = _channels(words)
            else:
                raise ValueError(f"'{words[0]}' is not expected here")
        except (ValueError, IndexError) as error:
            raise BadInput(f"{name}, line {number}: this is no BVH file ({error}).") from error
    raise BadInput(f"{name} is no BVH file, or it is cut off: it has no MOTION.")


def _channels(words: list[str]) -> tuple[str, ...]:
    channels = tuple(words[2:])
    if len(channels) != int(words[1]):
        raise ValueError(f"{words[1]} channels are announced, {len(channels)} named")
    different = {channel.lower() for channel in channels}
    if unknown := different - _CHANNELS:
        raise ValueError(f"a channel '{min(unknown)}' is not known")
    if len(different) != len(channels):
        raise ValueError("a channel is named twice")
    return channels


def _motion(lines: list[str], at: int, width: int, name: str) -> tuple[np.ndarray, float]:
    """(T, width) values, and seconds between frames."""
    try:
        frames = int(lines[at].split()[-1])
        step = float(lines[at + 1].split()[-1])
        rows = [line for line in lines[at + 2 :] if line.strip()]
        values = np.array([[float(word) for word in row.split()] for row in rows])
    except (ValueError, IndexError) as error:
        raise BadInput(f"{name}, after line {at}: the motion cannot be read ({error}).") from error
    if not np.isfinite(values).all():
        raise BadInput(f"{name} holds numbers that are not finite.")
    if values.shape != (frames, width) or not 0 < step < np.inf:
        raise BadInput(
            f"{name}: {frames} frames of {width} numbers, one each {step} s, are announced; "
            f"the file holds {values.shape}. It may be cut off."
        )
    return values, step


def _place(joints: list[_Joint], values: np.ndarray) -> np.ndarray:
    """Forward kinematics: (T, J, 3) in the file's units and axes."""
    placed, turned = [], []
    column = 0
    for joint in joints:
        own = values[:, column : column + len(joint.channels)]
        column += len(joint.channels)
        shift = np.broadcast_to(joint.offset, (len(values), 3)).copy()
        order, angles = "", []
        for index, channel in enumerate(joint.channels):
            axis = channel[0].lower()
            if channel.lower().endswith("position"):
                shift[:, "xyz".index(axis)] += own[:, index]
            else:
                order += axis.upper()  # upper case: each turn about the axes as they are turned already
                angles.append(own[:, index])
        turn = Rotation.identity(len(values))
        if order:
            turn = Rotation.from_euler(order, np.stack(angles, axis=1), degrees=True)
        if joint.parent < 0:
            placed.append(shift)
            turned.append(turn)
        else:
            placed.append(placed[joint.parent] + turned[joint.parent].apply(shift))
            turned.append(turned[joint.parent] * turn)
    return np.stack(placed, axis=1)
