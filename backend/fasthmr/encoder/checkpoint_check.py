# SPDX-License-Identifier: Apache-2.0
"""Whether the tensors of a file are the network that was asked for, whole; and what to say if not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from fasthmr.encoder.config import CAMERAHMR_INPUT, KINDS, PUBLISHED, EncoderConfig
from fasthmr.encoder.file_kinds import AGAIN
from fasthmr.encoder.layout import Shape, tensor_shapes
from fasthmr.errors import BadCall, BadInput, MissingModel

TITLES: Final = {"hmr2": "HMR2.0", "camerahmr": "CameraHMR", "open": "the project's own network"}
_QUERY: Final = "smpl_head.transformer.to_token_embedding.weight"
_SHOWN: Final = 4  # names in a message


def kind_of_weights(shapes: Mapping[str, Shape], metadata: Mapping[str, Any]) -> str | None:
    """Which kind of network a file holds: "hmr2", "camerahmr", "open", or None if that cannot be told.

    Args:
        shapes: of its tensors, by name.
        metadata: what the file says about itself.
    """
    config = metadata.get("config")
    if isinstance(config, dict) and config.get("kind") in KINDS:
        return config["kind"]
    inputs = shapes.get(_QUERY, (0, 0))[-1]
    return {1: "hmr2", CAMERAHMR_INPUT: "camerahmr"}.get(inputs)


def config_for(
    path: Path, kind: str, shapes: Mapping[str, Shape], metadata: Mapping[str, Any]
) -> EncoderConfig:
    """The sizes that a file's network must have.

    Those that the file states, or else those of the published network. CameraHMR's landmark layer, which
    nothing uses, may be left out.

    Args:
        path: the file, for messages.
        kind: what was asked for.
        shapes: of the file's tensors, by name.
        metadata: what the file says about itself.

    Raises:
        BadCall: no such kind.
        MissingModel: the file holds another network.
        BadInput: it has fewer layers and does not say how they were merged, or says what cannot be.
    """
    if kind not in KINDS:
        raise BadCall(f"There is no kind of checkpoint called '{kind}'. There are: {', '.join(KINDS)}.")
    _check_kind(path, kind, shapes, metadata)
    if "config" in metadata:
        try:
            config = EncoderConfig.from_json(metadata["config"])
        except (TypeError, ValueError) as error:
            raise BadInput(
                f"The checkpoint {path} is damaged: it says of its sizes: {error}. {AGAIN}"
            ) from error
    elif kind in PUBLISHED:
        config = PUBLISHED[kind]
        if not any(name.startswith("smpl_head.deckp.") for name in shapes):
            config = dataclasses.replace(config, keypoint_output=0)
    else:
        raise MissingModel(
            f"{path} does not say what sizes its network has, so it is no checkpoint of {TITLES['open']}. "
            "Give the file as 'fasthmr train' wrote it."
        )
    _check_layers(path, config, shapes, metadata.get("plan"))
    return config


def check_fit(path: Path, config: EncoderConfig, state: Mapping[str, Tensor]) -> None:
    """Refuse a file that is not exactly this network.

    Args:
        path: the file, for messages.
        config: the sizes.
        state: its tensors.

    Raises:
        BadInput: tensors are missing, unknown, of another shape, or no floating-point numbers.
    """
    expected = tensor_shapes(config)
    missing = [name for name in expected if name not in state]
    unknown = [name for name in state if name not in expected]
    reshaped = [
        f"{name}: {_by(state[name].shape)} instead of {_by(shape)}"
        for name, shape in expected.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    whole = [name for name, one in state.items() if not _is_usable(one.dtype)]
    faults = [
        f"{len(names)} {what} ({_few(names)})"
        for what, names in (
            ("missing", missing),
            ("unknown", unknown),
            ("of another shape", reshaped),
            ("not of floating-point numbers", whole),
        )
        if names
    ]
    if not faults:
        return
    raise BadInput(
        f"The checkpoint {path} is not {TITLES[config.kind]} as it was published: of its tensors, "
        f"{'; '.join(faults)}. A network with wrong parts gives nonsense, so nothing was loaded. "
        "Give the whole file; docs/checkpoints.md names the files."
    )


def check_numbers(path: Path, state: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not numbers; a damaged file has such sooner or later.

    Raises:
        BadInput: a tensor holds infinity or what is no number.
    """
    spoilt = [name for name, one in state.items() if not _is_finite(one)]
    if spoilt:
        raise BadInput(
            f"The checkpoint {path} is damaged: {len(spoilt)} of its tensors hold infinite values or what is "
            f"no number ({_few(spoilt)}). {AGAIN}"
        )


def _check_kind(path: Path, kind: str, shapes: Mapping[str, Shape], metadata: Mapping[str, Any]) -> None:
    if any(name.startswith("smplx_head.") for name in shapes):
        raise MissingModel(
            f"{path} is CameraHMR for SMPL-X bodies, which is not supported. "
            "Take camerahmr_checkpoint_cleaned.ckpt from https://camerahmr.is.tue.mpg.de."
        )
    if not any(name.startswith("smpl_head.") for name in shapes):
        raise MissingModel(
            f"{path} holds no network for bodies: nothing in it lies under 'smpl_head.'. (It may be a "
            "backbone alone, or CameraHMR's network for focal lengths.) docs/checkpoints.md names the files."
        )
    actual = kind_of_weights(shapes, metadata)
    if actual is not None and actual != kind:
        raise MissingModel(
            f"{path} is a checkpoint of {TITLES[actual]}, not of {TITLES[kind]}. "
            f"Ask for the model '{actual}', or give another file."
        )


def _check_layers(path: Path, config: EncoderConfig, shapes: Mapping[str, Shape], plan: Any) -> None:
    """Refuse a published network with fewer layers, unless it says how they were merged."""
    layers = {name.split(".")[2] for name in shapes if name.startswith("backbone.blocks.")}
    published = PUBLISHED.get(config.kind)
    if plan is None and published is not None and len(layers) < published.depth:
        cut = dataclasses.replace(config, depth=published.depth, keypoint_output=published.keypoint_output)
        if cut == published:
            raise BadInput(
                f"The checkpoint {path} is partial: it has {len(layers)} of the {published.depth} layers of "
                f"{TITLES[config.kind]}, and does not say that layers were merged. Give the whole file; a "
                "merged one must be as 'fasthmr train eclm' wrote it."
            )
    groups = plan.get("groups") if isinstance(plan, dict) else None
    if isinstance(groups, list) and len(groups) != config.depth:
        raise BadInput(
            f"The checkpoint {path} is damaged: its plan makes {len(groups)} layers, and it says that it has "
            f"{config.depth}. Make it again with 'fasthmr train eclm'."
        )


def _is_usable(dtype: torch.dtype) -> bool:
    return dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def _is_finite(one: Tensor) -> bool:
    # A sum is finite if all its parts are; half precision needs more room for it.
    total = one.sum(dtype=torch.promote_types(one.dtype, torch.float32))
    return bool(torch.isfinite(total)) or bool(torch.isfinite(one).all())


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a single number"


def _few(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
