# SPDX-License-Identifier: Apache-2.0
"""Which layers of a vision transformer become one: a small value with a JSON file of its own.

A plan says what was done to which checkpoint and how that was measured, so that it can be read, kept and
applied again (docs/layer_merging.md). Merging itself is in :mod:`fasthmr.encoder.layer_merging`; the search
that makes plans is in :mod:`fasthmr.encoder.layer_search`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, get_args

import msgspec

from fasthmr.errors import BadCall, BadInput
from fasthmr.files import written_whole

SCHEMA: Final = 1

Variant = Literal["formula", "keep_last", "keep_first", "mean"]
VARIANTS: Final[tuple[Variant, ...]] = get_args(Variant)

Groups = tuple[tuple[int, ...], ...]
"""For each new layer the original layers that form it, from the first on (both counted from 0)."""


class WindowTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question of the search, whether some layers may become one.

    Attributes:
        low: first original layer of the window.
        high: its last one.
        value: the metric with this window merged, and all that was decided before; None: it was no number.
        accepted: the answer.
    """

    low: int
    high: int
    value: float | None
    accepted: bool


class PlanSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The checkpoint that a plan was made for.

    Attributes:
        file: its name, for people.
        sha256: of the file.
        origin: sha256 of the file that this one was converted from; None: it is the original.
    """

    file: str
    sha256: str
    origin: str | None = None


class LayerPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the layers of one network become fewer.

    Attributes:
        layers: of the original network.
        groups: for each new layer the original layers that form it; consecutive and in order. A layer in no
            group is dropped.
        variant: what a group becomes (:func:`fasthmr.encoder.layer_merging.merge_tensors`).
        metric: what was measured ("mpjpe_mm", "difference_mm"); None: nothing was.
        baseline: the metric of the original network.
        value: the metric of the merged one.
        tau: how much larger than ``baseline`` the metric was allowed to be, less than this.
        tests: every question of the search with its answer, in order.
        finished: whether the search came to its end; otherwise the plan is what was found so far.
        source: the checkpoint it belongs to; None: any with so many layers (benchmarks).
        calibration: what the metric was measured on, and how; JSON values, for people.
        schema: version of this format.

    Raises:
        ValueError: groups that cannot be.
    """

    layers: int
    groups: Groups
    variant: Variant = "formula"
    metric: str | None = None
    baseline: float | None = None
    value: float | None = None
    tau: float | None = None
    tests: tuple[WindowTest, ...] = ()
    finished: bool = True
    source: PlanSource | None = None
    calibration: dict[str, Any] | None = None
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if self.schema > SCHEMA:
            raise ValueError(f"it was written by a newer version (schema {self.schema})")
        if self.variant not in VARIANTS:
            raise ValueError(f"there is no variant '{self.variant}'; there are {', '.join(VARIANTS)}")
        if self.layers < 1 or not self.groups:
            raise ValueError("a network has one layer or more, before and after")
        for group in self.groups:
            if not group or any(after != before + 1 for before, after in itertools.pairwise(group)):
                raise ValueError(f"layers {list(group)} are not consecutive, so they cannot become one")
        used = [layer for group in self.groups for layer in group]
        if used[0] < 0 or used[-1] >= self.layers:
            raise ValueError(f"it names layer {used[-1]}, or one below 0, of a network of {self.layers}")
        if any(after <= before for before, after in itertools.pairwise(used)):
            raise ValueError("a layer is named twice, or the layers are not in order")
        for test in self.tests:
            if not 0 <= test.low < test.high < self.layers:
                raise ValueError(f"a window from layer {test.low} to {test.high} was never tested")

    @property
    def depth(self) -> int:
        """Layers of the new network."""
        return len(self.groups)

    @property
    def dropped(self) -> tuple[int, ...]:
        """Original layers that nothing is made of."""
        used = {layer for group in self.groups for layer in group}
        return tuple(layer for layer in range(self.layers) if layer not in used)

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values."""
        return msgspec.to_builtins(self)

    @classmethod
    def from_json(cls, content: Any) -> LayerPlan:
        """The plan that :meth:`to_json` gave.

        Raises:
            ValueError: it is no plan; the message says what is wrong.
        """
        schema = content.get("schema") if isinstance(content, dict) else None
        if isinstance(schema, int) and schema > SCHEMA:  # said first: a newer one may have other fields
            raise ValueError(f"it was written by a newer version (schema {schema}); update FastHMR")
        return msgspec.convert(content, cls)

    def save(self, path: Path) -> None:
        """Write the plan as JSON, whole or not at all.

        Raises:
            BadInput: the place cannot be written to.
        """
        text = msgspec.json.format(msgspec.json.encode(self), indent=1)
        with written_whole(path) as stream:
            stream.write(text + b"\n")

    @classmethod
    def load(cls, path: Path) -> LayerPlan:
        """Read a plan.

        Raises:
            BadInput: it is missing, damaged, of a newer version, or no plan.
        """
        try:
            text = Path(path).read_bytes()
        except OSError as error:
            raise BadInput(f"The plan {path} cannot be read: {error.strerror or error}.") from error
        try:
            return cls.from_json(msgspec.json.decode(text))
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            raise BadInput(
                f"{path} is no plan of merged layers, or damaged: {error}. Give the JSON file that "
                "'fasthmr train eclm' wrote, or make it again."
            ) from error

    def describe(self) -> str:
        """A few lines for people."""
        found = {"formula": "the formula", "mean": "their mean"}
        kept = {"keep_last": "their last one", "keep_first": "their first one"}
        lines = [f"{self.layers} layers become {self.depth}."]
        for new, group in enumerate(self.groups):
            if len(group) > 1:
                what = (found | kept)[self.variant]
                if self.variant == "formula" and len(group) == 2:
                    what = f"{what}: layer {group[0]} is deleted"
                lines.append(f"layers {group[0]} to {group[-1]} become layer {new} ({what})")
        if self.dropped:
            lines.append(f"layers dropped: {', '.join(map(str, self.dropped))}")
        if self.metric is not None and self.baseline is not None and self.value is not None:
            change = self.value - self.baseline
            lines.append(f"{self.metric}: {self.baseline:.3f} before, {self.value:.3f} after ({change:+.3f})")
        if self.tau is not None:
            state = f"{len(self.tests)} windows tested" + ("" if self.finished else ", not finished")
            lines.append(f"tau {self.tau:g}, {state}")
        if self.source is not None:
            lines.append(f"made for {self.source.file} (sha256 {self.source.sha256[:12]})")
        return "\n".join(lines)


def recipe(groups: Sequence[Sequence[int]], variant: Variant) -> tuple[str, ...]:
    """What each new layer is made of, the same for the same network.

    A group of one layer is that layer; a group that keeps a layer is that one; the formula for two layers is
    the later one. So networks that are equal have equal recipes, however they were asked for.

    Args:
        groups: as in :class:`LayerPlan`.
        variant: what a group becomes.

    Returns:
        For each new layer "7" (the original one) or "mean 7-9".
    """
    return tuple(
        str(kept) if kept is not None else f"{variant} {group[0]}-{group[-1]}"
        for group, kept in ((group, kept_layer(group, variant)) for group in groups)
    )


def kept_layer(group: Sequence[int], variant: Variant) -> int | None:
    """The original layer that a group becomes; None if it becomes a new one."""
    if len(group) == 1 or variant == "keep_first":
        return group[0]
    if variant == "keep_last" or (variant == "formula" and len(group) == 2):
        return group[-1]
    return None


def joined(layers: int, windows: Sequence[tuple[int, int]]) -> Groups:
    """The groups in which some windows are one and all other layers stay alone.

    Args:
        layers: of the original network.
        windows: first and last layer of each, without overlap.

    Raises:
        ValueError: windows overlap, or lie outside of the network.
    """
    groups: list[tuple[int, ...]] = []
    start = 0
    for low, high in sorted(windows):
        if not start <= low <= high < layers:
            raise ValueError(f"the window from {low} to {high} overlaps another, or there is no such layer")
        groups += [(layer,) for layer in range(start, low)]
        groups.append(tuple(range(low, high + 1)))
        start = high + 1
    return (*groups, *((layer,) for layer in range(start, layers)))


def uniform_plan(layers: int, target: int, variant: Variant = "keep_last") -> LayerPlan:
    """A plan that nobody searched for, for measuring speed: groups as equal as can be, evenly spread.

    Args:
        layers: of the original network.
        target: of the new one.
        variant: what a group becomes; the default makes no new weights.

    Raises:
        BadCall: the target is not between 1 and ``layers``.
    """
    if not 1 <= target <= layers:
        raise BadCall(f"{layers} layers cannot become {target}. Choose a number from 1 to {layers}.")
    starts = [math.floor(new * layers / target) for new in range(target + 1)]
    groups = tuple(tuple(range(first, after)) for first, after in itertools.pairwise(starts))
    return LayerPlan(layers=layers, groups=groups, variant=variant)
