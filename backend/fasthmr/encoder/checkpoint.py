# SPDX-License-Identifier: Apache-2.0
"""Loading and saving networks: the published checkpoints as they are, and files of this project.

Files are read without running anything in them (:mod:`fasthmr.encoder.torch_files`) and must fit whole:
every tensor of the network, none more under ``backbone.`` and ``smpl_head.``, each of its shape. A network
with missing parts would run and give nonsense. What lies beside these two (body model, discriminator,
optimiser) is left where it is.

Files of this project are safetensors whose metadata says under ``fasthmr``, as JSON, the sizes of the network
(``config``), how layers were merged (``plan``, or none) and what it was made from (``source``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fasthmr.encoder.checkpoint_check import check_fit, check_numbers, config_for
from fasthmr.encoder.config import EncoderConfig
from fasthmr.encoder.file_kinds import AGAIN, kind_of_file
from fasthmr.encoder.layout import tensor_shapes
from fasthmr.encoder.model import HMRModel
from fasthmr.encoder.safetensors_files import write_safetensors
from fasthmr.encoder.torch_files import DamagedFile, StoredTensor, map_tensors, read_torch_file
from fasthmr.errors import BadInput

Metadata = dict[str, Any]

METADATA_KEY: Final = "fasthmr"
_PARTS: Final = ("backbone", "smpl_head", "smplx_head")
_WRAPPERS: Final = frozenset({"module", "model", "net", "_orig_mod"})
#: Where a file may keep its tensors, besides at the top.
_TABLES: Final = ("state_dict", "model_state_dict", "model")


def load_checkpoint(
    path: Path,
    kind: str,
    simplify: bool = True,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> HMRModel:
    """Load a network, ready to run.

    Args:
        path: ``.ckpt``, ``.pt``, ``.pth`` or ``.safetensors``.
        kind: "hmr2", "camerahmr" or "open".
        simplify: whether to leave out work that changes nothing (:meth:`HMRModel.simplify_`); such a network
            is not trained or saved.
        dtype: precision of the weights; float32 when left out, whatever the file's. The head stays in
            float32 (:meth:`HMRModel.cast_`).
        device: where to; the CPU when left out.

    Raises:
        MissingModel: there is no such file, or it holds another network.
        BadInput: the file is damaged, partial, or no checkpoint.
    """
    path = Path(path)
    state, metadata = read_weights(path)
    config = config_for(path, kind, {name: tuple(one.shape) for name, one in state.items()}, metadata)
    check_fit(path, config, state)
    check_numbers(path, state)
    state = {name: one.contiguous() for name, one in state.items()}  # a file may hold views
    model = HMRModel.from_state(config, state, metadata.get("plan"))
    model.cast_(dtype or torch.float32)
    if simplify:
        model.simplify_()
    return model.to(device or "cpu")


def read_weights(path: Path) -> tuple[dict[str, Tensor], Metadata]:
    """The tensors of a checkpoint under ``backbone.`` and ``smpl_head.``, whatever else is in the file.

    Nothing is checked against any network yet. The tensors are mapped from the file, which must stay as it is
    while they are used.

    Args:
        path: ``.ckpt``, ``.pt``, ``.pth`` or ``.safetensors``.

    Returns:
        The tensors by name, without the names of wrappers (``module.``, ``model.``) around them; and what the
        file says about itself: ``config``, ``plan`` and ``source``, or nothing (published files).

    Raises:
        MissingModel: there is no such file.
        BadInput: it is damaged, or no checkpoint.
    """
    path = Path(path)
    try:
        if kind_of_file(path) == "torch":
            return _read_torch(path), {}
        return _read_safetensors(path)
    except DamagedFile as error:
        raise BadInput(f"The checkpoint {path} cannot be read: {error}. {AGAIN}") from error
    except (OSError, SafetensorError) as error:
        raise BadInput(f"The checkpoint {path} cannot be read: {error}. {AGAIN}") from error


def save_checkpoint(
    path: Path,
    model_or_state: HMRModel | Mapping[str, Tensor],
    config: EncoderConfig,
    metadata: Metadata | None = None,
) -> None:
    """Write a checkpoint as safetensors, whole or not at all.

    Args:
        path: the file; its name ends in ``.safetensors``.
        model_or_state: a network that is not simplified, or its tensors.
        config: the sizes.
        metadata: ``plan`` and ``source``, if any.

    Raises:
        BadInput: it cannot be written there, or its name ends otherwise.
        ValueError: a simplified network, or tensors that do not fit ``config``.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise BadInput(f"Checkpoints are written as .safetensors; {path} ends in something else.")
    if isinstance(model_or_state, HMRModel):
        if model_or_state.simplified:
            raise ValueError(
                "a simplified network has lost what a checkpoint needs: load it with simplify=False"
            )
        model_or_state = model_or_state.state_dict()
    expected = tensor_shapes(config)
    if {name: tuple(one.shape) for name, one in model_or_state.items()} != expected:
        raise ValueError("the tensors do not have the names and shapes of these sizes")
    content = {"config": config.to_json(), "plan": None, "source": None, **(metadata or {})}
    content["config"] = config.to_json()
    write_safetensors(path, {name: model_or_state[name] for name in expected}, {METADATA_KEY: content})


def _read_torch(path: Path) -> dict[str, Tensor]:
    content = read_torch_file(path)
    for table in [content.get(name) for name in _TABLES] + [content] if isinstance(content, dict) else []:
        if isinstance(table, dict) and any(isinstance(one, StoredTensor) for one in table.values()):
            names = _wanted(path, [name for name in table if isinstance(name, str)])
            stored = {short: table[name] for short, name in names.items()}
            other = [short for short, one in stored.items() if not isinstance(one, StoredTensor)]
            if other:
                raise DamagedFile(f"{other[0]} is stored in a way that is not read here")
            return map_tensors(path, stored)
    raise DamagedFile("it holds no table of tensors")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Metadata]:
    with safe_open(path, framework="pt") as file:
        names = _wanted(path, list(file.keys()))
        text = (file.metadata() or {}).get(METADATA_KEY)
        state = {short: file.get_tensor(name) for short, name in names.items()}
    return state, {} if text is None else _metadata(path, text)


def _metadata(path: Path, text: str) -> Metadata:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DamagedFile("what it says about itself is no JSON") from error
    if not isinstance(content, dict) or not isinstance(content.get("plan"), (dict, type(None))):
        raise DamagedFile("what it says about itself is not understood")
    return content


def _wanted(path: Path, names: list[str]) -> dict[str, str]:
    """The names that belong to the network: without wrappers, and as they are in the file."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        parts = name.split(".")
        first = next((index for index, part in enumerate(parts) if part in _PARTS), None)
        if first is not None and _WRAPPERS.issuperset(parts[:first]):
            found.setdefault(".".join(parts[:first]), {})[".".join(parts[first:])] = name
    if len(found) > 1 and "" not in found:
        raise DamagedFile(
            f"it holds several networks ({', '.join(sorted(found))}), and which one is not said"
        )
    return found.get("") or next(iter(found.values()), {})
