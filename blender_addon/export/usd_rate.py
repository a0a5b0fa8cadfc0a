# SPDX-License-Identifier: GPL-3.0-or-later
"""The frame rate of a USD file: Blender's importer does not tell it, nor does Blender share USD's library.

A .usda file is text. A .usdc file is a table of contents with compressed sections: TOKENS are all names,
FIELDS are pairs of a name and a value. Only what is needed for one number is read here.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Final

_FIELD: Final = "timeCodesPerSecond"
_DOUBLE: Final = 9
_INLINED: Final = 1 << 62


def usd_rate(path: Path) -> float:
    """Frames per second of a .usda or .usdc file; 24 when it does not say, as USD has it.

    Raises:
        ValueError: it is not such a file.
    """
    data = path.read_bytes()
    if not data.startswith(b"PXR-USDC"):
        found = re.search(rf"^\s*{_FIELD} = ([0-9.eE+-]+)\s*$".encode(), data[:100_000], re.MULTILINE)
        if not data.startswith(b"#usda"):
            raise ValueError("no USD file")
        return float(found[1]) if found else 24.0
    try:
        return _crate_rate(data)
    except (struct.error, IndexError, KeyError) as error:
        raise ValueError(f"damaged ({error})") from error


def _crate_rate(data: bytes) -> float:
    sections = _sections(data)
    at = sections[b"TOKENS"]
    count, _, size = struct.unpack_from("<3Q", data, at)
    tokens = _unpacked(data[at + 24 : at + 24 + size]).split(b"\0")[:count]
    at = sections[b"FIELDS"]
    count, size = struct.unpack_from("<2Q", data, at)
    names = _integers(_unpacked(data[at + 16 : at + 16 + size]), count)
    at += 16 + size
    (size,) = struct.unpack_from("<Q", data, at)
    values = struct.unpack(f"<{count}Q", _unpacked(data[at + 8 : at + 8 + size]))
    for name, value in zip(names, values, strict=True):
        if tokens[name] == _FIELD.encode() and value >> 48 & 0xFF == _DOUBLE:
            payload = value & (1 << 48) - 1
            if value & _INLINED:  # doubles that are floats as well stand in the value itself
                return struct.unpack("<f", struct.pack("<I", payload & 0xFFFFFFFF))[0]
            return struct.unpack_from("<d", data, payload)[0]
    return 24.0


def _sections(data: bytes) -> dict[bytes, int]:
    """Where each section begins."""
    (contents,) = struct.unpack_from("<q", data, 16)
    (count,) = struct.unpack_from("<Q", data, contents)
    found = {}
    for index in range(count):
        name, start, _ = struct.unpack_from("<16sqq", data, contents + 8 + 32 * index)
        found[name.rstrip(b"\0")] = start
    return found


def _unpacked(data: bytes) -> bytes:
    """What was compressed: one LZ4 block, or several behind their sizes."""
    if data[0] == 0:
        return _lz4(data[1:])
    result, at = b"", 1
    for _ in range(data[0]):
        (size,) = struct.unpack_from("<i", data, at)
        result += _lz4(data[at + 4 : at + 4 + size])
        at += 4 + size
    return result


def _lz4(data: bytes) -> bytes:
    """An LZ4 block: runs of plain bytes, each followed by a copy of what came before."""
    result, at = bytearray(), 0

    def length(start: int) -> int:
        nonlocal at
        while start >= 15:
            more = data[at]
            at += 1
            start += more
            if more < 255:
                break
        return start

    while at < len(data):
        token = data[at]
        at += 1
        plain = length(token >> 4)
        result += data[at : at + plain]
        at += plain
        if at >= len(data):
            break
        (back,) = struct.unpack_from("<H", data, at)
        at += 2
        copied = length(token & 15) + 4
        for _ in range(copied):
            result.append(result[-back])
    return bytes(result)


def _integers(data: bytes, count: int) -> list[int]:
    """Integers as differences: the most frequent one, two bits a difference for its size, and the others."""
    (common,) = struct.unpack_from("<i", data)
    at = 4 + (2 * count + 7) // 8
    result, value = [], 0
    for index in range(count):
        kind = data[4 + index // 4] >> 2 * (index % 4) & 3
        difference = common
        if kind:
            (difference,) = struct.unpack_from(("<b", "<h", "<i")[kind - 1], data, at)
            at += (1, 2, 4)[kind - 1]
        value += difference
        result.append(value)
    return result
