# SPDX-License-Identifier: Apache-2.0
"""Turning a checkpoint into a small, fast and self-describing file, and saying what is in one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch

from fasthmr.encoder.checkpoint import METADATA_KEY, read_weights
from fasthmr.encoder.checkpoint_check import check_fit, check_numbers, config_for, kind_of_weights
from fasthmr.encoder.file_kinds import AGAIN, kind_of_file
from fasthmr.encoder.layout import parameter_count, stays_exact, tensor_shapes
from fasthmr.encoder.safetensors_files import write_safetensors
from fasthmr.encoder.torch_files import DamagedFile, check_sums
from fasthmr.errors import BadCall, BadInput
from fasthmr.jobs import sha256_of_file

PRECISIONS: Final[Mapping[str, torch.dtype]] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@dataclass(frozen=True)
class CheckpointFacts:
    """What a checkpoint holds.

    Attributes:
        path: the file.
        kind: "hmr2", "camerahmr" or "open".
        tensors: how many tensors of the network.
        parameters: how many numbers they hold, without the mean body.
        dtypes: how many tensors have each precision.
        layers: of the vision transformer.
        plan: how layers were merged; None: they were not.
        source: what the file was made from, as it says; None: it does not.
        bytes: size of the file.
        sha256: of the file.
    """

    path: str
    kind: str
    tensors: int
    parameters: int
    dtypes: dict[str, int]
    layers: int
    plan: dict[str, Any] | None
    source: dict[str, Any] | None
    bytes: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """The facts as plain values."""
        return asdict(self)


def show_checkpoint(path: Path) -> CheckpointFacts:
    """Look at a checkpoint: it is checked as for loading, and its check sums as well.

    Raises:
        MissingModel: there is no such file, or no network that is known here.
        BadInput: it is damaged, partial, or no checkpoint.
    """
    path = Path(path)
    state, metadata = read_weights(path)
    shapes = {name: tuple(one.shape) for name, one in state.items()}
    kind = kind_of_weights(shapes, metadata)
    # Without a sign of its kind, the checks for HMR2.0 say what is wrong with the file.
    config = config_for(path, kind or "hmr2", shapes, metadata)
    check_fit(path, config, state)
    _check_whole(path)
    check_numbers(path, state)
    dtypes: dict[str, int] = {}
    for one in state.values():
        name = str(one.dtype).removeprefix("torch.")
        dtypes[name] = dtypes.get(name, 0) + 1
    return CheckpointFacts(
        path=str(path),
        kind=config.kind,
        tensors=len(state),
        parameters=parameter_count(config),
        dtypes=dtypes,
        layers=config.depth,
        plan=metadata.get("plan"),
        source=metadata.get("source"),
        bytes=path.stat().st_size,
        sha256=sha256_of_file(path),
    )


def convert_checkpoint(path: Path, kind: str, precision: str, out: Path) -> None:
    """Write the network of a checkpoint as safetensors that say what they are.

    The head stays in float32 (:func:`fasthmr.encoder.layout.stays_exact`). A plan of merged layers goes
    along. The result is written whole or not at all, one tensor at a time.

    Args:
        path: the checkpoint.
        kind: "hmr2", "camerahmr" or "open".
        precision: "fp32", "bf16" or "fp16".
        out: the new file; its name ends in ``.safetensors``.

    Raises:
        BadCall: no such kind or precision, or ``out`` has another ending.
        MissingModel: there is no such file, or it holds another network.
        BadInput: it is damaged, partial or no checkpoint; a number does not fit into the precision; or
            ``out`` cannot be written.
    """
    path, out = Path(path), Path(out)
    dtype = PRECISIONS.get(precision)
    if dtype is None:
        raise BadCall(f"There is no precision '{precision}'. There are: {', '.join(PRECISIONS)}.")
    if out.suffix != ".safetensors":
        raise BadCall(f"Checkpoints are written as .safetensors; {out} ends in something else.")
    state, metadata = read_weights(path)
    config = config_for(path, kind, {name: tuple(one.shape) for name, one in state.items()}, metadata)
    check_fit(path, config, state)
    _check_whole(path)
    check_numbers(path, state)
    limit = torch.finfo(dtype).max
    large = [name for name, one in state.items() if not stays_exact(name) and one.abs().max() > limit]
    if large:
        raise BadInput(
            f"The checkpoint {path} holds numbers beyond {limit:.0f}, which {precision} does not have "
            f"({large[0]}). Convert it to bf16."
        )
    source = metadata.get("source") or {"file": path.name, "sha256": sha256_of_file(path)}
    content = {**metadata, "config": config.to_json(), "plan": metadata.get("plan"), "source": source}
    write_safetensors(
        out,
        {name: state[name] for name in tensor_shapes(config)},
        {METADATA_KEY: content},
        lambda name, _: torch.float32 if stays_exact(name) else dtype,
    )


def _check_whole(path: Path) -> None:
    """Compare a PyTorch file with the check sums in it; safetensors have none."""
    if kind_of_file(path) == "torch":
        try:
            check_sums(path)
        except DamagedFile as error:
            raise BadInput(f"The checkpoint {path} is damaged: {error}. {AGAIN}") from error
