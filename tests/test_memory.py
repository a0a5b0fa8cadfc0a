# SPDX-License-Identifier: Apache-2.0
"""Large arrays get memory of their own while a clip streams by, and share the heap again afterwards."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from fasthmr.memory import large_arrays_apart

# Moves glibc's threshold up, as a first freed frame does, then tells for each moment how many pieces of
# memory were mapped for one array: 1 or 0. Each is larger than all before, so that no hole would do.
PROGRAM = """
import ctypes
import numpy as np
from fasthmr.memory import large_arrays_apart

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
                 "fordblks", "keepcost")]

library = ctypes.CDLL(None)
library.mallinfo2.restype = Info

def mapped(size):
    before = library.mallinfo2().hblks
    array = np.ones(size, np.uint8)
    return library.mallinfo2().hblks - before

del_me = np.ones(30_000_000, np.uint8)
del del_me
print(mapped(1_000_000))
with large_arrays_apart():
    print(mapped(3_000_000))
print(mapped(9_000_000))
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="only glibc puts large arrays on the heap, and from 2.33 on it tells how many it did not",
)
def test_only_in_the_block_large_arrays_are_apart() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["0", "1", "0"]


def test_an_error_passes_through_the_block() -> None:
    with pytest.raises(ZeroDivisionError), large_arrays_apart():
        raise ZeroDivisionError
