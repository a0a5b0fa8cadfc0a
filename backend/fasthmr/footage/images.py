# SPDX-License-Identifier: Apache-2.0
"""Image sequences: a folder, a pattern (``shot_%04d.png``, ``shot_####.png``, ``shot_*.png``) or one picture.

Pictures are read as bytes and decoded by OpenCV, because its own file functions cannot open names
outside the code page on Windows. Grey pictures become RGB, 16 bits become 8 (the upper ones), alpha is
dropped, and an EXIF orientation is applied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
from av.error import FFmpegError

from fasthmr.errors import BadCall, BadInput
from fasthmr.footage.faults import check_readable
from fasthmr.footage.focal import focal_35mm
from fasthmr.footage.info import DEFAULT_FRAME_RATE, FootageInfo, Frame
from fasthmr.footage.orientation import orientation_of

IMAGE_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".ppm", ".pgm"})

_PATTERN_TOKEN = re.compile(r"%(?:0?(\d+))?d|(#+)|(\*)|(\?)")


def is_sequence(path: Path) -> bool:
    """Whether the path means pictures (a folder, a pattern, a picture) rather than one video file."""
    try:
        if path.is_dir():
            return True
        if path.exists():
            return path.suffix.lower() in IMAGE_SUFFIXES
    except OSError:
        return False
    return _PATTERN_TOKEN.search(path.name) is not None


def find_images(path: Path) -> list[Path]:
    """The pictures that a folder, a pattern or a picture's own path means, in the order of their numbers.

    Numbers inside names count as numbers, so that ``2.png`` comes before ``10.png``. Hidden files are
    left out.

    Raises:
        BadInput: the folder is missing or may not be read, or no picture fits.
    """
    if path.is_file():
        return [path]
    folder, is_pattern = (path, False) if path.is_dir() else (path.parent, True)
    check_readable(folder)
    try:
        names = [
            entry.name for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith(".")
        ]
    except PermissionError as error:
        raise BadInput(f"The folder {folder} may not be read. Change its permissions.") from error
    wanted = _pattern(path.name) if is_pattern else None
    found = [
        name
        for name in names
        if (wanted.fullmatch(name) if wanted else Path(name).suffix.lower() in IMAGE_SUFFIXES)
    ]
    if not found:
        raise _no_images(path, is_pattern)
    return [folder / name for name in sorted(found, key=_natural_key)]


class ImageSequence:
    """Pictures that follow each other at a constant rate, read one at a time.

    Args:
        path: folder, pattern, or a single picture (a clip of one frame).
        frame_rate: frames per second; pictures do not say it themselves.

    Raises:
        BadCall: the frame rate is not positive.
        BadInput: there is no picture, or none that can be decoded.
    """

    def __init__(self, path: Path, frame_rate: float = DEFAULT_FRAME_RATE) -> None:
        if not frame_rate > 0.0:
            raise BadCall(f"A frame rate of {frame_rate} is not possible. Give frames per second above 0.")
        self._paths = find_images(path)
        self._rate = frame_rate
        example, image = self._first_readable(path)
        self._size = (image.shape[1], image.shape[0])
        self._example = example
        rotation, focal = _exif_of(example)
        self.info = FootageInfo(
            path=path,
            kind="images",
            width=self._size[0],
            height=self._size[1],
            rotation=rotation,
            frame_rate=frame_rate,
            variable_rate=False,
            frame_count=len(self._paths),
            duration=len(self._paths) / frame_rate,
            focal_35mm=focal,
        )

    @property
    def remarks(self) -> list[str]:
        """What is odd about the sequence as a whole, for the log."""
        return _missing_numbers(self._paths)

    def first_index_at(self, seconds: float) -> int:
        """Index of the first picture shown at ``seconds`` or later."""
        return min(len(self._paths), max(0, int(np.ceil(seconds * self._rate - 1e-3))))

    def frames(self, first: int, stop: int | None, warn: Callable[[str], None]) -> Iterator[Frame]:
        """Decode pictures ``first`` to ``stop`` (exclusive; None is all).

        A damaged picture is left out with a warning; the others keep their indices.

        Raises:
            BadInput: a picture has another size than the first one, or may not be read.
        """
        last = len(self._paths) if stop is None else stop
        for index in range(first, last):
            path = self._paths[index]
            check = _read_image(path)
            if check is None:
                warn(f"{path} is damaged and was left out. Render or copy this picture again.")
                continue
            if (check.shape[1], check.shape[0]) != self._size:
                raise BadInput(
                    f"{path} has {check.shape[1]}x{check.shape[0]} pixels, but {self._example.name} has "
                    f"{self._size[0]}x{self._size[1]}. A sequence needs pictures of one size: take this one "
                    "out, or name the sequence with a pattern such as shot_####.png."
                )
            yield Frame(index, index / self._rate, check)

    def _first_readable(self, path: Path) -> tuple[Path, np.ndarray]:
        for candidate in self._paths:
            image = _read_image(candidate)
            if image is not None:
                return candidate, image
        if len(self._paths) == 1:
            raise BadInput(f"{self._paths[0]} is damaged or not a picture. Render or copy it again.")
        raise BadInput(
            f"None of the {len(self._paths)} pictures of {path} can be decoded; the first is "
            f"{self._paths[0].name}. They are damaged or of another kind than their names say. "
            "Render or copy them again."
        )


def _read_image(path: Path) -> np.ndarray | None:
    """Decode a picture to (H, W, 3) uint8 RGB; None when it is empty or damaged."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}. Check its permissions.") from error
    if data.size == 0:
        return None
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:  # raised instead of an empty answer for some kinds of damage, and for absurd sizes
        return None
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _exif_of(path: Path) -> tuple[int, float | None]:
    """Rotation (degrees clockwise) and focal length of a picture's EXIF, as FFmpeg reads them."""
    try:
        with av.open(str(path.absolute()), options={"protocol_whitelist": "file"}) as container:
            frame = next(container.decode(video=0))
            return orientation_of(frame).clockwise, focal_35mm(frame.metadata)
    except (FFmpegError, StopIteration, OSError, ValueError, IndexError):
        return 0, None  # OpenCV reads the picture; without FFmpeg's view of it only the extras are missing


def _pattern(name: str) -> re.Pattern[str]:
    """Regular expression for ``%04d`` and ``####`` (at least so many digits), ``*`` and ``?``."""
    parts: list[str] = []
    position = 0
    for token in _PATTERN_TOKEN.finditer(name):
        parts.append(re.escape(name[position : token.start()]))
        width, hashes, star, _ = token.groups()
        if token[0].startswith("%") or hashes:
            digits = int(width) if width else len(hashes or "#")
            parts.append(rf"\d{{{digits},}}")
        else:
            parts.append(".*" if star else ".")
        position = token.end()
    parts.append(re.escape(name[position:]))
    return re.compile("".join(parts))


def _natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key under which digits compare as numbers and everything else as text."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), part) if part.isdigit() else (0, 0, part) for part in parts if part]


def _missing_numbers(paths: list[Path]) -> list[str]:
    """A remark when the last number in the names jumps."""
    numbers = [re.findall(r"\d+", path.stem) for path in paths]
    if not all(numbers):
        return []
    steps = np.diff([int(found[-1]) for found in numbers])
    jumps = np.flatnonzero(steps > 1)
    if len(jumps) == 0 or len(jumps) == len(steps):  # numbered in twos or threes: on purpose
        return []
    before, after = paths[jumps[0]], paths[jumps[0] + 1]
    return [
        f"The numbers of the pictures jump {len(jumps)} time(s), first from {before.name} to {after.name}; "
        "they are taken as consecutive frames all the same."
    ]


def _no_images(path: Path, is_pattern: bool) -> BadInput:
    if is_pattern:
        return BadInput(
            f"No file in {path.parent} fits the pattern {path.name}. Check the name and the number of digits."
        )
    kinds = ", ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
    others = sorted(
        entry.name for entry in path.iterdir() if entry.is_file() and not entry.name.startswith(".")
    )
    hint = f" It holds {others[0]}: if that is the footage, name the file itself." if others else ""
    return BadInput(f"The folder {path} holds no pictures ({kinds}).{hint}")
