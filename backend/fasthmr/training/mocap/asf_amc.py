# SPDX-License-Identifier: Apache-2.0
"""Acclaim's ASF (skeleton) and AMC (motion), as Vicon wrote them for CMU's database.

A bone has a direction and a length in the world's axes at rest, and axes C of its own in which its angles are
told: its turn is C · R(angles) · C⁻¹. Angles turn about x, then y, then z. Source: M. Schafer, "ASF Skeleton
File Format" (research.cs.wisc.edu/graphics/Courses/cs-838-1999/Jeff/ASF-AMC.html).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.spatial.transform import Rotation

from fasthmr.errors import BadInput
from fasthmr.training.mocap.source_motion import SourceMotion
from fasthmr.training.mocap.world_axes import z_up_from_y_up

#: One unit of CMU's files in metres: their "length 0.45" is a scale of inches.
UNIT: Final = 2.54 / 100 / 0.45
#: CMU's files carry no frame rate; all but a few clips were captured at this one.
FRAME_RATE: Final = 120.0
_FREEDOMS: Final = ("rx", "ry", "rz", "tx", "ty", "tz", "l")
_END_BONES: Final = frozenset({"lfingers", "rfingers", "lthumb", "rthumb", "ltoes", "rtoes", "head"})


@dataclass(frozen=True)
class _Bone:
    """One bone: where it points at rest (in units), its own axes, and which angles it has."""

    vector: np.ndarray
    axes: Rotation
    freedoms: tuple[str, ...]


@dataclass(frozen=True)
class AsfSkeleton:
    """A skeleton of an ASF file.

    Attributes:
        names: "root" and the bones, parents first; a bone's name stands for its far end.
        parents: (J,) int.
        bones: by name.
    """

    names: tuple[str, ...]
    parents: np.ndarray
    bones: dict[str, _Bone]


def read_asf(text: str, name: str) -> AsfSkeleton:
    """Read a skeleton.

    Args:
        text: of the ASF file.
        name: of the file, for messages.

    Raises:
        BadInput: it is not an ASF file, or a bone lacks something; with the line.
    """
    section, bone = "", {}
    bones: dict[str, _Bone] = {}
    parent_of: dict[str, str] = {}
    names = ["root"]
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            if words[0].startswith(":"):
                section = words[0]
            elif section == ":bonedata":
                if words[0] == "begin":
                    bone = {}
                elif words[0] == "end":
                    bones[bone["name"][0]] = _bone(bone)
                else:
                    bone[words[0]] = words[1:]
            elif section == ":hierarchy" and words[0] not in ("begin", "end"):
                for child in words[1:]:
                    if words[0] not in names or child not in bones or child in names:
                        raise KeyError(child)
                    parent_of[child] = words[0]
                    names.append(child)
        except (KeyError, ValueError, IndexError) as error:
            raise BadInput(f"{name}, line {number}: no skeleton can be read here ({error}).") from error
    if len(names) == 1:
        raise BadInput(f"{name} is no ASF skeleton: it lists no bones.")
    parents = np.array([-1, *[names.index(parent_of[child]) for child in names[1:]]])
    return AsfSkeleton(tuple(names), parents, bones)


def read_amc(
    text: str,
    skeleton: AsfSkeleton,
    name: str,
    frame_rate: float = FRAME_RATE,
    subject: int | None = None,
    trial: int | None = None,
    label: str = "",
) -> SourceMotion:
    """Read a motion on its skeleton.

    Args:
        text: of the AMC file, angles in degrees.
        skeleton: of the same subject.
        name: of the clip.
        frame_rate: frames per second.
        subject: number of the person.
        trial: number of the trial.
        label: what is done.

    Raises:
        BadInput: it is not an AMC file, or a frame but the last lacks a bone or a number; with the line.
    """
    values = _frames(text.splitlines(), skeleton, name)
    root = values["root"]
    turned = {"root": Rotation.from_euler("xyz", root[:, 3:6], degrees=True)}
    placed = {"root": root[:, :3]}
    for child, parent in zip(skeleton.names[1:], skeleton.parents[1:], strict=True):
        bone, above = skeleton.bones[child], skeleton.names[parent]
        angles = np.zeros((len(root), 3))
        for column, freedom in enumerate(bone.freedoms):
            if freedom.startswith("r"):
                angles[:, "xyz".index(freedom[1])] = values[child][:, column]
        own = bone.axes * Rotation.from_euler("xyz", angles, degrees=True) * bone.axes.inv()
        turned[child] = turned[above] * own
        placed[child] = placed[above] + turned[child].apply(bone.vector)
    positions = UNIT * np.stack([placed[joint] for joint in skeleton.names], axis=1)
    return SourceMotion(
        name=name,
        skeleton="cmu_asf",
        frame_rate=frame_rate,
        joint_names=skeleton.names,
        parents=skeleton.parents,
        positions=z_up_from_y_up(positions).astype(np.float32),
        subject=subject,
        trial=trial,
        label=label,
        end_points=_END_BONES & set(skeleton.names),
    )


def _bone(entries: dict[str, list[str]]) -> _Bone:
    x, y, z = (float(word) for word in entries["direction"])
    vector = np.array([x, y, z]) * float(entries["length"][0])
    *angles, order = entries["axis"]
    turn = [float(word) for word in angles]
    freedoms = tuple(word.lower() for word in entries.get("dof", ()))
    if not np.isfinite([*vector, *turn]).all() or not set(freedoms) <= set(_FREEDOMS):
        raise ValueError("a number that is not finite, or a freedom that is not known")
    return _Bone(vector, Rotation.from_euler(order.lower(), turn, degrees=True), freedoms)


def _frames(lines: Iterable[str], skeleton: AsfSkeleton, name: str) -> dict[str, np.ndarray]:
    """Each bone's numbers, (T, its freedoms)."""
    wanted = {joint: len(skeleton.bones[joint].freedoms) for joint in skeleton.names[1:]}
    wanted = {"root": 6, **{joint: count for joint, count in wanted.items() if count}}
    columns: dict[str, list[list[float]]] = {joint: [] for joint in wanted}
    count = 0
    lines = list(lines)
    last = max((number for number, line in enumerate(lines, 1) if line.strip()), default=0)
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0][0] in "#:":
            continue
        if len(words) == 1 and words[0].isdigit():
            if any(len(rows) != count for rows in columns.values()):
                raise BadInput(f"{name}, line {number}: the frame before lacks a bone.")
            count += 1
            continue
        if words[0] not in columns:
            continue
        try:
            row = [float(word) for word in words[1:]]
        except ValueError as error:
            if number == last:
                continue  # the file ends within a number; so its frame is not whole
            raise BadInput(f"{name}, line {number}: {error}.") from error
        if not np.isfinite(row).all():
            raise BadInput(f"{name}, line {number}: numbers that are not finite.")
        if number == last and len(row) < wanted[words[0]]:
            continue
        if len(row) != wanted[words[0]]:
            raise BadInput(
                f"{name}, line {number}: {words[0]} has {len(row)} numbers instead of {wanted[words[0]]}."
            )
        columns[words[0]].append(row)
    if count > 1 and min(len(rows) for rows in columns.values()) == count - 1:
        # A file that ends within a frame, as one of CMU's does: the frames before it are whole.
        count -= 1
        columns = {joint: rows[:count] for joint, rows in columns.items()}
    if not count or any(len(rows) != count for rows in columns.values()):
        short = [joint for joint, rows in columns.items() if len(rows) != count]
        raise BadInput(f"{name} is no whole AMC motion: {', '.join(short) or 'it has no frames'}.")
    return {joint: np.array(rows) for joint, rows in columns.items()}
