# SPDX-License-Identifier: Apache-2.0
"""Why a file could not be read, in words that tell its owner what to do.

FFmpeg says "Invalid data found when processing input" to an empty file, a text and half a film alike;
a look at the first bytes tells them apart.
"""

from __future__ import annotations

from pathlib import Path

from fasthmr.errors import BadInput

_HEAD_BYTES = 4096


def check_readable(path: Path) -> None:
    """Refuse a file that is missing, empty or not ours to read.

    Raises:
        BadInput: says which of them, and what to do.
    """
    try:
        if not path.exists():
            raise BadInput(f"There is no footage at {path}. Check the path.")
        if path.is_dir():
            return
        with path.open("rb") as stream:
            if not stream.read(1):
                raise BadInput(f"{path} is empty (0 bytes). Copy or export the footage again.")
    except PermissionError as error:
        raise BadInput(
            f"{path} may not be read. Change its permissions, or copy it to a folder of your own."
        ) from error
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read: {error.strerror or error}. Check the disk or the connection."
        ) from error


def check_is_not_text(path: Path) -> None:
    """Refuse text before FFmpeg sees it: FFmpeg plays some as ANSI art, and follows links in play lists.

    Raises:
        BadInput: the beginning of the file is text.
    """
    check_readable(path)
    if _is_text(_head(path)):
        raise BadInput(
            f"{path} is a text file, not a video, whatever its name says. Choose the footage itself."
        )


def not_a_video(path: Path, error: Exception) -> BadInput:
    """What to tell about a file that FFmpeg cannot open."""
    check_readable(path)
    if _is_mp4(_head(path)):
        size = path.stat().st_size
        if ("moov", True) not in [(name, end <= size) for name, end in _top_level_boxes(path)]:
            return BadInput(
                f"{path} is incomplete: its index (the 'moov' part of an MP4 or MOV file) is missing, as "
                "happens when a recording or a copy stopped early. Copy or export it again."
            )
        return BadInput(f"{path} is a damaged MP4 or MOV file ({_reason(error)}). Copy or export it again.")
    return BadInput(
        f"{path} is not a video that can be read ({_reason(error)}). If a player shows it, convert it to MP4 "
        "(H.264) first; if not, copy or export it again."
    )


def is_cut_mp4(path: Path) -> bool:
    """Whether an MP4 or MOV file ends inside its pictures (the 'mdat' part)."""
    if not _is_mp4(_head(path)):
        return False
    size = path.stat().st_size
    return any(name == "mdat" and end > size for name, end in _top_level_boxes(path))


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_HEAD_BYTES)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _is_mp4(head: bytes) -> bool:
    return head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # The cut at the end of the head may split a character; anything earlier is not text.
        return error.start >= len(head) - 3
    return True


def _top_level_boxes(path: Path) -> list[tuple[str, int]]:
    """Name and announced end (bytes from the beginning) of each top-level box of an MP4 file."""
    boxes: list[tuple[str, int]] = []
    size = path.stat().st_size
    position = 0
    with path.open("rb") as stream:
        while position + 8 <= size:
            stream.seek(position)
            header = stream.read(16)
            length = int.from_bytes(header[:4], "big")
            if length == 0:  # "to the end of the file"
                length = size - position
            elif length == 1:  # the length follows in 64 bits
                length = int.from_bytes(header[8:16], "big")
            if length < 8:  # damage: nothing after it can be found
                break
            position += length
            boxes.append((header[4:8].decode("latin-1"), position))
    return boxes
