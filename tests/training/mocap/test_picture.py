# SPDX-License-Identifier: Apache-2.0
"""The contact sheet shows bodies beside the joints that they were made from."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fasthmr.errors import BadCall, BadInput
from fasthmr.training.mocap.picture import _CELL, _STICK, _TITLE_HEIGHT, _choose, _sticks, _view, write_sheet
from fasthmr.training.mocap.prepare import PrepareRequest, prepare

from .tiny_data import write_data


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    request = PrepareRequest(write_data(folder / "data"), folder / "set", ("jumps",))
    prepare(request)
    return request.work


def read(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    assert picture is not None
    return picture[..., ::-1]


def test_one_row_a_clip_and_two_views_a_moment(work: Path, tmp_path: Path) -> None:
    assert write_sheet(tmp_path / "sheet.png", work, ["02_01", "139_16"], moments=2) == 2
    picture = read(tmp_path / "sheet.png")
    assert picture.shape == (2 * (_CELL + _TITLE_HEIGHT), 4 * _CELL, 3)
    for row in range(2):
        for column in range(4):
            top = row * (_CELL + _TITLE_HEIGHT) + _TITLE_HEIGHT
            cell = picture[top : top + _CELL, column * _CELL : (column + 1) * _CELL].astype(int)
            sticks = np.abs(cell - _STICK).sum(-1) < 60
            assert sticks.sum() > 40  # the source's joints are there
            # ... beside a body: on the stick's other side the picture is not of one colour.
            halves = (cell[60:-40, : _CELL // 2], cell[60:-40, _CELL // 2 :])
            other = halves[np.argmin([np.abs(half - _STICK).sum(-1).min() for half in halves])]
            assert other.std() > 5


def test_a_few_of_each_skeleton_when_none_is_named(work: Path) -> None:
    def piece(name: str, skeleton: str, label: str, frames: int) -> dict[str, object]:
        return {"name": name, "skeleton": skeleton, "label": label, "frames": frames}

    pieces = [
        piece("a", "x", "walk", 10),
        piece("b", "x", "walk", 20),
        piece("c", "x", "jump", 5),
        piece("d", "y", "walk", 5),
    ]
    assert [row["name"] for row in _choose(pieces, None)] == ["b", "c", "d"]
    assert [row["name"] for row in _choose(pieces, ["d", "a"])] == ["a", "d"]


def test_points_are_drawn_where_they_are_seen() -> None:
    """The camera is level, looks at the point, up is up and its right is to the right."""
    picture = np.zeros((_CELL, _CELL, 3), np.uint8)
    middle = np.array([3.0, -2.0, 1.0])
    view = _view(middle, 0.7)
    _sticks(picture, view, middle[None], [])
    rows, columns = np.nonzero(picture.sum(-1))
    assert rows.mean() == pytest.approx(_CELL / 2, abs=1)
    assert columns.mean() == pytest.approx(_CELL / 2, abs=1)
    right = np.array([-np.sin(0.7), np.cos(0.7), 0.0])
    for offset, wanted in ((np.array([0, 0, 0.5]), (-1, 0)), (0.5 * right, (0, 1))):
        picture[:] = 0
        _sticks(picture, view, (middle + offset)[None], [])
        rows, columns = np.nonzero(picture.sum(-1))
        moved = np.array([rows.mean(), columns.mean()]) - _CELL / 2
        assert moved @ wanted > 40
        assert np.abs(moved).min() < 2


def test_what_cannot_be_drawn_is_said(work: Path, tmp_path: Path) -> None:
    with pytest.raises(BadCall, match=r"must end with \.png"):
        write_sheet(tmp_path / "sheet.jpg", work)
    with pytest.raises(BadInput, match="train mocap"):
        write_sheet(tmp_path / "sheet.png", tmp_path)
    with pytest.raises(BadInput, match="that fit"):
        write_sheet(tmp_path / "sheet.png", work, ["no such clip"])
    assert list(tmp_path.iterdir()) == []
