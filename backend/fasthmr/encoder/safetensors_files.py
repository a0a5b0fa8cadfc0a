# SPDX-License-Identifier: Apache-2.0
"""Writing safetensors one tensor at a time, so that a network of gigabytes needs no second copy in memory.

The format (https://github.com/huggingface/safetensors): eight bytes with the length of a JSON table, the
table (for each tensor its type, shape and place), the numbers. The package ``safetensors`` reads it; it could
write it too, but only what is in memory as a whole.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from fasthmr.files import written_whole

_TYPES: Final[Mapping[torch.dtype, str]] = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
}


def write_safetensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, Any],
    dtype_of: Callable[[str, torch.dtype], torch.dtype] = lambda _, dtype: dtype,
) -> None:
    """Write tensors, whole or not at all.

    Args:
        path: the file.
        tensors: floating-point, by name.
        metadata: values that JSON has, by name.
        dtype_of: the type to write a tensor in, from its name and the type that it has; the latter when
            left out.

    Raises:
        BadInput: it cannot be written there.
    """
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    table["__metadata__"] |= {name: json.dumps(value, ensure_ascii=False) for name, value in metadata.items()}
    types = {name: dtype_of(name, one.dtype) for name, one in tensors.items()}
    end = 0
    for name, one in tensors.items():
        start, end = end, end + math.prod(one.shape) * types[name].itemsize
        table[name] = {"dtype": _TYPES[types[name]], "shape": list(one.shape), "data_offsets": [start, end]}
    header = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with written_whole(path) as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        for name, one in tensors.items():
            plain = one.detach().to("cpu", types[name]).contiguous().reshape(-1)
            stream.write(plain.view(torch.uint8).numpy().data)
