# SPDX-License-Identifier: Apache-2.0
"""A contact sheet of converted clips: the body beside the joints that it was made from.

For every skeleton a few clips of different kinds, for each of them a few moments, and each moment from
the front and from the side. To be looked at: knees and elbows must bend the right way, feet lie flat on
the floor, heads be upright, palms and forearms not be twisted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from fasthmr.body import BodyModel, load_body
from fasthmr.errors import BadCall, BadInput
from fasthmr.files import load_arrays, written_whole
from fasthmr.preview.figures import vertex_normals
from fasthmr.preview.renderer import COLOURS, Renderer
from fasthmr.preview.view import View, pinhole_view
from fasthmr.progress import Progress
from fasthmr.training.mocap.floor import find_contacts, floor_height, sole_points
from fasthmr.training.mocap.joint_maps import joint_map, stick_edges
from fasthmr.training.mocap.packed import MocapClip, activity

_CELL: Final = 300  # pixels, square
_MOMENTS: Final = 4
_CLIPS: Final = 4  # a skeleton
_DISTANCE: Final = 4.2  # metres from the camera
_FOCAL: Final = 1.75  # in widths of a cell
_BESIDE: Final = 0.95  # metres between body and stick figure
_STICK: Final = (250, 220, 120)
_TITLE_HEIGHT: Final = 22


def write_sheet(
    path: Path,
    work: Path,
    clips: Sequence[str] | None = None,
    moments: int = _MOMENTS,
    progress: Progress | None = None,
) -> int:
    """Draw a contact sheet.

    Args:
        path: the picture, ``.png``.
        work: the work folder of :func:`~fasthmr.training.mocap.prepare.prepare`.
        clips: parts of the names of the clips to draw; a few of each skeleton when left out.
        moments: to draw of each clip.
        progress: told of each clip.

    Returns:
        How many clips are on it.

    Raises:
        BadCall: the path does not end with ``.png``.
        BadInput: the work folder holds nothing to draw.
    """
    if path.suffix.lower() != ".png":
        raise BadCall(f"{path} must end with .png.")
    listing = work / "read.json"
    if not listing.is_file():
        raise BadInput(f"{work} holds no converted clips. Run `fasthmr train mocap` first.")
    pieces = json.loads(listing.read_text(encoding="utf-8"))["pieces"]
    pieces = [piece for piece in pieces if (work / "fit" / piece["file"]).is_file()]
    chosen = _choose(pieces, clips)
    if not chosen:
        raise BadInput(f"{work} holds no converted clips that fit. Run `fasthmr train mocap` first.")
    progress = progress or Progress()
    body = load_body("open")
    rows = []
    with Renderer(body.faces.numpy(), len(body.v_template), 1) as renderer:
        for number, piece in enumerate(chosen):
            progress.report("draw", number, len(chosen))
            rows.append(_clip_row(piece, work, body, renderer, moments))
    picture = np.concatenate(rows)
    _, data = cv2.imencode(".png", picture[..., ::-1])
    with written_whole(path) as stream:
        stream.write(data.tobytes())
    return len(chosen)


def _choose(pieces: list[dict[str, Any]], clips: Sequence[str] | None) -> list[dict[str, Any]]:
    if clips is not None:
        return [piece for piece in pieces if any(part in piece["name"] for part in clips)]
    chosen, taken = [], {}
    for piece in sorted(pieces, key=lambda piece: -piece["frames"]):
        clip = MocapClip(
            piece["name"], piece["skeleton"], None, piece["label"], "train", 0, piece["frames"], 30.0
        )
        kinds = taken.setdefault(piece["skeleton"], set())
        if activity(clip) not in kinds and len(kinds) < _CLIPS:
            kinds.add(activity(clip))
            chosen.append(piece)
    return sorted(chosen, key=lambda piece: (piece["skeleton"], piece["name"]))


def _clip_row(
    piece: dict[str, Any], work: Path, body: BodyModel, renderer: Renderer, moments: int
) -> NDArray[np.uint8]:
    fit = load_arrays(work / "fit" / piece["file"])
    seen = load_arrays(work / "read" / piece["file"]).get("seen")
    rotations, pelvis, betas = fit["rotations"], fit["pelvis"], fit["betas"]
    soles = sole_points(body, betas, rotations, pelvis)
    floor = floor_height(soles)
    contacts = find_contacts(soles, floor)
    anchors = joint_map(piece["skeleton"], piece["joints"]) if seen is not None else ()
    cells = []
    for frame in np.linspace(0.1, 0.9, moments) * (len(rotations) - 1):
        row = round(frame)
        with torch.inference_mode():
            vertices, joints = body.vertices(
                torch.from_numpy(rotations[row : row + 1]), torch.from_numpy(betas)
            )
            shift = torch.from_numpy(pelvis[row] - (0, 0, floor)).float() - joints[0, 0]
            vertices = vertices + shift
            mesh = torch.cat([vertices, vertex_normals(vertices, body.faces)], -1)[0].numpy()
        renderer.show([(mesh.astype(np.float32), COLOURS[0])])
        ahead = rotations[row, 0] @ (0.0, 0.0, 1.0)
        heading = float(np.arctan2(ahead[1], ahead[0]))
        middle = np.array([*pelvis[row, :2], min(pelvis[row, 2] - floor, 1.1)])
        for turn, side in ((0.35, -1.0), (1.45, 1.0)):
            right = np.array([-np.sin(heading + turn), np.cos(heading + turn), 0.0])
            beside = side * _BESIDE * right if seen is not None else 0 * right
            view = _view(middle + 0.5 * beside, heading + turn)
            picture = renderer.scene(view, middle).copy()
            if seen is not None:
                points = seen[row] - (0, 0, floor) + beside
                _sticks(picture, view, points, stick_edges(anchors))
            marks = "".join("HTht"[i] if contacts[row, i] else "." for i in range(4))
            cv2.putText(picture, f"{row} {marks}", (6, _CELL - 8), 0, 0.4, (230, 230, 230), 1, cv2.LINE_AA)
            cells.append(picture)
    title = np.zeros((_TITLE_HEIGHT, _CELL * len(cells), 3), np.uint8)
    error = f"{1000 * np.median(fit['errors']):.0f} mm" if fit["errors"].size else ""
    text = f"{piece['skeleton']}  {piece['name']}  {piece['label']}  {error}  floor {floor:.2f}"
    cv2.putText(title, text, (6, 16), 0, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate([title, np.concatenate(cells, axis=1)])


def _view(middle: np.ndarray, angle: float) -> View:
    """A level camera that looks at a point from a direction in the floor's plane."""
    towards = np.array([-np.cos(angle), -np.sin(angle), 0.0])
    down = np.array([0.0, 0.0, -1.0])
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3] = np.stack([np.cross(down, towards), down, towards], axis=1)
    world_from_camera[:3, 3] = middle - _DISTANCE * towards
    focal = _FOCAL * _CELL
    intrinsics = np.array([[focal, 0, _CELL / 2], [0, focal, _CELL / 2], [0, 0, 1]])
    return pinhole_view(intrinsics, world_from_camera, (_CELL, _CELL), (_CELL, _CELL))


def _sticks(picture: np.ndarray, view: View, points: np.ndarray, edges: Sequence[tuple[int, int]]) -> None:
    clip = np.concatenate([points, np.ones((len(points), 1))], 1) @ view.clip_from_world.T
    places = (clip[:, :2] / clip[:, 3:] * 0.5 + 0.5) * _CELL
    dots = (places * 16).round().astype(int).tolist()  # cv2 takes sixteenths of a pixel
    for a, b in edges:
        cv2.line(picture, dots[a], dots[b], _STICK, 1, cv2.LINE_AA, 4)
    for dot in dots:
        cv2.circle(picture, dot, 32, (255, 255, 255), -1, cv2.LINE_AA, 4)
