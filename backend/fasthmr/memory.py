# SPDX-License-Identifier: Apache-2.0
"""Keeping a long clip's memory flat where the C library would let it grow.

Frames of several megabytes come and go while a few hundred bytes a frame stay. With glibc's moving
threshold both end up on one heap: the little that stays lands in the holes of the frames that went, the
next frame no longer fits, and the heap grows by a frame's size for every frame, although nothing leaks.
Memory mapped for each large array by itself goes back to the system when the array does.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
import sys
from collections.abc import Iterator
from typing import Final

# Parameters of mallopt(3), from glibc's <malloc.h>.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3

_APART: Final = 128 << 10  # glibc's own threshold, before it moves
# Where glibc's threshold comes to rest when large arrays were freed, and its rule for the other.
_TOGETHER: Final = 32 << 20


@contextlib.contextmanager
def large_arrays_apart() -> Iterator[None]:
    """Give every large array memory of its own while the block lasts; for streaming, not for optimising.

    It costs a few page faults a frame. Where the C library is not glibc nothing is done: the others keep
    large blocks apart anyway.
    """
    _set_thresholds(mmap=_APART, trim=_APART)
    try:
        yield
    finally:
        _set_thresholds(mmap=_TOGETHER, trim=2 * _TOGETHER)


def _set_thresholds(mmap: int, trim: int) -> None:
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(_MMAP_THRESHOLD, mmap)
    library.mallopt(_TRIM_THRESHOLD, trim)
