# SPDX-License-Identifier: Apache-2.0
"""Every measurement of a search over layers, kept in a file: what was measured once is not measured again.

One JSON object a line. A line says what it is a measurement *of* (a digest of the checkpoint, the crops, and
how the network runs), so that one file serves any number of searches, with other variants or another tau.
Lines that cannot be read are left out: they cost a measurement, no more.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import msgspec

from fasthmr.errors import BadInput
from fasthmr.files import written_whole


class _Line(msgspec.Struct, frozen=True):
    of: str
    layers: str
    value: float | None
    seconds: float


_DECODER: Final = msgspec.json.Decoder(_Line)


class EvaluationLog:
    """The measurements of one identity in a file.

    Args:
        path: the file; made with the first measurement.
        identity: digest of everything but the layers that a measurement depends on.

    Raises:
        BadInput: the file cannot be read.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self._path, self._identity = Path(path), identity
        self._lines = _read(self._path)
        self._values = {line.layers: line.value for line in self._lines if line.of == identity}

    def get(self, layers: tuple[str, ...]) -> float | None:
        """The value for layers (:func:`fasthmr.encoder.layer_plan.recipe`); None: not measured yet.

        What was no number comes back as one (nan).
        """
        key = ", ".join(layers)
        if key not in self._values:
            return None
        value = self._values[key]
        return math.nan if value is None else value

    def add(self, layers: tuple[str, ...], value: float, seconds: float) -> None:
        """Keep a measurement; the file is written whole each time.

        Raises:
            BadInput: it cannot be written.
        """
        kept = value if math.isfinite(value) else None
        line = _Line(self._identity, ", ".join(layers), kept, seconds)
        self._lines.append(line)
        self._values[line.layers] = line.value
        with written_whole(self._path) as stream:
            stream.writelines(msgspec.json.encode(one) + b"\n" for one in self._lines)


def _read(path: Path) -> list[_Line]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BadInput(
            f"{path}, which keeps the measurements, cannot be read: {error.strerror or error}."
        ) from error
    found = []
    for line in lines:
        try:
            found.append(_DECODER.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return found
