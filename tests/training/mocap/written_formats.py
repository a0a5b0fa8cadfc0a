# SPDX-License-Identifier: Apache-2.0
"""Motion capture files written from known motion, and where its joints are by the slowest way there is.

The forward kinematics here are matrices of single turns multiplied one by one; no reader is used.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def turn_about(axis: str, degrees: float) -> NDArray[np.float64]:
    """Right-handed turn about a coordinate axis."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    rows = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }
    return np.array(rows[axis], float)


def upright(points: np.ndarray) -> NDArray[np.float64]:
    """Points of y-up axes in z-up axes, coordinate by coordinate."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], -1)


def damaged(text: str, rng: np.random.Generator) -> str:
    """The same file with a word lost, doubled or turned into nonsense, a line lost, or its end cut off."""
    kind = rng.integers(6)
    if kind == 0:
        return text[: rng.integers(len(text))]
    lines = text.splitlines()
    row = int(rng.integers(len(lines)))
    if kind == 1:
        return "\n".join(lines[:row] + lines[row + 1 :])
    words = lines[row].split(" ")
    place = int(rng.integers(len(words)))
    if kind == 2:
        del words[place]
    elif kind == 3:
        words.insert(place, words[place])
    else:
        words[place] = str(rng.choice(["nan", "x", "-1", "1e400", "{", "", "0", "root", "End"]))
    lines[row] = " ".join(words)
    return "\n".join(lines)


# --- ASF and AMC


@dataclass(frozen=True)
class AsfBone:
    """A bone of a written skeleton: its parent, where it points, its axes and its freedoms."""

    name: str
    parent: str
    direction: tuple[float, float, float]
    length: float
    axis: tuple[float, float, float]
    freedoms: tuple[str, ...]


ASF_BONES = (
    AsfBone("lhipjoint", "root", (0.6, -0.8, 0.0), 2.0, (0, 0, 0), ()),
    AsfBone("lfemur", "lhipjoint", (0.28, -0.96, 0.0), 7.0, (10, -20, 30), ("rx", "ry", "rz")),
    AsfBone("ltibia", "lfemur", (0.28, -0.96, 0.0), 7.2, (0, 0, 20), ("rx",)),
    AsfBone("lowerback", "root", (0.0, 1.0, 0.0), 2.1, (0, 0, 0), ("rx", "ry", "rz")),
    AsfBone("head", "lowerback", (0.0, 0.6, 0.8), 1.6, (5, 0, 0), ("rx", "rz")),
)


def asf_text(bones: tuple[AsfBone, ...] = ASF_BONES) -> str:
    """A skeleton file."""
    lines = ["# written for a test", ":version 1.10", ":name VICON", ":units", "  mass 1.0", "  length 0.45"]
    lines += ["  angle deg", ":root", "   order TX TY TZ RX RY RZ", "   axis XYZ", "   position 0 0 0"]
    lines += ["   orientation 0 0 0", ":bonedata"]
    for number, bone in enumerate(bones, 1):
        lines += ["  begin", f"     id {number}", f"     name {bone.name}"]
        lines += ["     direction " + " ".join(map(str, bone.direction)), f"     length {bone.length}"]
        lines += ["     axis " + " ".join(map(str, bone.axis)) + "  XYZ"]
        if bone.freedoms:
            lines += ["    dof " + " ".join(bone.freedoms), "    limits (-160.0 20.0)"]
        lines += ["  end"]
    lines += [":hierarchy", "  begin"]
    for parent in dict.fromkeys(bone.parent for bone in bones):
        lines += [f"    {parent} " + " ".join(bone.name for bone in bones if bone.parent == parent)]
    return "\n".join([*lines, "  end"]) + "\n"


AsfFrame = dict[str, list[float]]


def asf_motion(count: int, seed: int = 0, bones: tuple[AsfBone, ...] = ASF_BONES) -> list[AsfFrame]:
    """Random angles of every freedom, degrees, and places of the root."""
    rng = np.random.default_rng(seed)
    return [
        {
            "root": [*rng.normal(size=3).round(4), *rng.uniform(-90, 90, 3).round(4)],
            **{b.name: list(rng.uniform(-60, 60, len(b.freedoms)).round(4)) for b in bones if b.freedoms},
        }
        for _ in range(count)
    ]


def amc_text(frames: list[AsfFrame]) -> str:
    """A motion file."""
    lines = ["#!OML:ASF", ":FULLY-SPECIFIED", ":DEGREES"]
    for number, frame in enumerate(frames, 1):
        lines.append(str(number))
        lines += [f"{name} " + " ".join(map(str, values)) for name, values in frame.items()]
    return "\n".join(lines) + "\n"


def asf_places(frame: AsfFrame, bones: tuple[AsfBone, ...] = ASF_BONES) -> dict[str, NDArray[np.float64]]:
    """Metres, z up, of the root and the far end of every bone."""

    def turned(x: float, y: float, z: float) -> NDArray[np.float64]:
        return turn_about("z", z) @ turn_about("y", y) @ turn_about("x", x)

    place = {"root": np.array(frame["root"][:3])}
    turn = {"root": turned(*frame["root"][3:])}
    for bone in bones:
        angles = dict(zip(bone.freedoms, frame.get(bone.name, []), strict=True))
        axes = turned(*bone.axis)
        own = turned(*(angles.get(freedom, 0.0) for freedom in ("rx", "ry", "rz")))
        turn[bone.name] = turn[bone.parent] @ axes @ own @ np.linalg.inv(axes)
        reach = bone.length * np.array(bone.direction)
        place[bone.name] = place[bone.parent] + turn[bone.name] @ reach
    metres = 2.54 / 100 / 0.45
    return {name: metres * upright(point) for name, point in place.items()}


# --- DeepMimic

#: Name, parent, kind, offset in metres: a figure that faces +x, y up.
DEEPMIMIC_JOINTS = (
    ("root", -1, "none", (0.0, 0.0, 0.0)),
    ("chest", 0, "spherical", (0.0, 0.24, 0.0)),
    ("neck", 1, "spherical", (0.0, 0.23, 0.0)),
    ("right_hip", 0, "spherical", (0.0, 0.0, 0.085)),
    ("right_knee", 3, "revolute", (0.0, -0.42, 0.0)),
    ("right_ankle", 4, "spherical", (0.0, -0.41, 0.0)),
    ("right_shoulder", 1, "spherical", (-0.02, 0.24, 0.18)),
    ("right_elbow", 6, "revolute", (0.0, -0.27, 0.0)),
    ("right_wrist", 7, "fixed", (0.0, -0.26, 0.0)),
    ("left_hip", 0, "spherical", (0.0, 0.0, -0.085)),
    ("left_knee", 9, "revolute", (0.0, -0.42, 0.0)),
    ("left_ankle", 10, "spherical", (0.0, -0.41, 0.0)),
    ("left_shoulder", 1, "spherical", (-0.02, 0.24, -0.18)),
    ("left_elbow", 12, "revolute", (0.0, -0.27, 0.0)),
    ("left_wrist", 13, "fixed", (0.0, -0.26, 0.0)),
)


def character_text() -> str:
    """A character file."""
    joints = [
        {"ID": i, "Name": name, "Type": kind, "Parent": parent, "AttachX": x, "AttachY": y, "AttachZ": z}
        for i, (name, parent, kind, (x, y, z)) in enumerate(DEEPMIMIC_JOINTS)
    ]
    return json.dumps({"Skeleton": {"Joints": joints}}, indent=1)


def deepmimic_frames(
    count: int, seed: int = 0, swing: float = 0.25, step: float = 1 / 30
) -> list[list[float]]:
    """A figure that swings its limbs smoothly and walks along x: rows of numbers."""
    rng = np.random.default_rng(seed)
    widths = {"spherical": 3, "revolute": 1, "fixed": 0}
    phases = rng.uniform(0, 2 * np.pi, (len(DEEPMIMIC_JOINTS), 3))
    rows = []
    for number in range(count):
        row = [step, *(0.02 * number, 0.88, 0.0), *quaternion(np.array([0.0, 0.3, 0.0]))]
        for index, (name, _, kind, _) in enumerate(DEEPMIMIC_JOINTS[1:], 1):
            swung = swing * np.sin(0.15 * number + phases[index, : widths[kind]])
            if kind == "spherical":
                row += quaternion(swung)
            elif kind == "revolute":  # knees bend backwards, elbows forwards
                row += list((-1 if "knee" in name else 1) * (swing + swung))
        rows.append([float(value) for value in row])
    return rows


def quaternion(rotvec: np.ndarray) -> list[float]:
    """w x y z of a turn."""
    angle = float(np.linalg.norm(rotvec))
    axis = rotvec / angle if angle else rotvec
    return [float(np.cos(angle / 2)), *(float(value) for value in np.sin(angle / 2) * axis)]


def deepmimic_text(rows: list[list[float]]) -> str:
    """A motion file."""
    frames = ",\n".join(json.dumps(row) for row in rows)
    return '{\n"Loop": "none",\n"Frames": [\n' + frames + "\n]\n}\n"


# --- exponential maps


def expmap_text(rows: np.ndarray) -> str:
    """Rows of 117 numbers; the first is the rest pose."""
    return "\n".join(",".join(f"{value:.7f}" for value in row) for row in rows) + "\n"


def expmap_rows(count: int, seed: int = 0, swing: float = 0.15) -> NDArray[np.float64]:
    """Smooth motion of all joints at 120 frames a second: a rest pose and ``count`` frames."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((count + 1, 117))
    seconds = np.arange(count) / 120
    rows[1:, 0], rows[1:, 1] = 6 * seconds, 16.0
    phases, speeds = rng.uniform(0, 2 * np.pi, 114), rng.uniform(1, 4, 114)
    rows[1:, 3:] = swing * np.sin(phases + speeds * seconds[:, None])
    return rows
