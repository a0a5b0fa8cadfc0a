# SPDX-License-Identifier: Apache-2.0
"""Error-constrained layer merging: which layers may become one (FastHMR, arXiv 2510.10868, Algorithm 1).

A window of layers starts at the last two and grows downwards as long as the network with the window merged
is good enough; then the window without its newest layer is merged for good, and a new one starts below it.
Good enough: the metric exceeds that of the *original* network, whatever was merged since, by less than tau;
whoever makes it better passes. Each test moves the lower end down by one, so that a network of L layers
takes L - 1 tests.

The paper's algorithm forgets the window that is still growing when it reaches the first layer; if all tests
pass, nothing is merged at all. Here that window is merged too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from fasthmr.encoder.layer_plan import Groups, Variant, WindowTest, joined
from fasthmr.errors import BadInput

Measure = Callable[[Groups, Variant], float]
"""The metric of the original network with its layers in these groups; smaller is better."""


class LayerSearch:
    """The search as a machine that asks for one measurement after the other.

    Args:
        layers: of the original network.
        baseline: its metric.
        tau: how much larger the metric may be, less than this; below zero only improvements pass.

    Attributes:
        tests: the questions so far, with their answers.
        windows: what was merged for good, first and last layer of each, from the last on.

    Raises:
        BadInput: the baseline is no number.
    """

    def __init__(self, layers: int, baseline: float, tau: float) -> None:
        if not math.isfinite(baseline):
            raise BadInput(
                f"The original network's error on the calibration data is {baseline}, so nothing can be "
                "compared with it. The checkpoint is damaged, or it does not work in this precision: try "
                "--precision fp32."
            )
        self.tests: list[WindowTest] = []
        self.windows: list[tuple[int, int]] = []
        self.value = baseline
        self._layers, self._baseline, self._tau = layers, baseline, tau
        self._low, self._high = layers - 2, layers - 1

    @property
    def window(self) -> tuple[int, int] | None:
        """The window to be tested next, first and last layer; None: the search is over."""
        return (self._low, self._high) if self._low >= 0 else None

    @property
    def question(self) -> Groups:
        """The network to be measured next: all that is merged for good, and the window.

        Raises:
            ValueError: the search is over.
        """
        if self.window is None:
            raise ValueError("the search is over")
        return joined(self._layers, [*self.windows, self.window])

    @property
    def groups(self) -> Groups:
        """What is merged so far, the window that is still growing included: every test of it passed."""
        growing = [(self._low + 1, self._high)] if self._high > self._low + 1 else []
        return joined(self._layers, [*self.windows, *growing])

    def answer(self, value: float) -> bool:
        """Go on with the metric of the network in question.

        Args:
            value: the metric; what is no finite number is never good enough.

        Returns:
            Whether the window was good enough.

        Raises:
            ValueError: the search is over.
        """
        if self.window is None:
            raise ValueError("the search is over")
        usable = math.isfinite(value)
        accepted = usable and value - self._baseline < self._tau
        self.tests.append(WindowTest(self._low, self._high, value if usable else None, accepted))
        if accepted:
            self.value = value
        else:
            self._close_window(self._low + 1)
        self._low -= 1
        if self._low < 0:
            self._close_window(0)
        return accepted

    def _close_window(self, low: int) -> None:
        """Merge what lies above ``low`` for good, if that is more than one layer, and start below it."""
        if self._high > low:
            self.windows.append((low, self._high))
        self._high = low - 1


@dataclass(frozen=True)
class LayerDrop:
    """The plain baseline: layers that are left out, with nothing merged.

    Attributes:
        dropped: which ones, those whose loss alone costs least first.
        single: for each layer the metric without it; None: it was no number.
        value: the metric without all of ``dropped``; None: it was no number.
    """

    dropped: tuple[int, ...]
    single: tuple[float | None, ...]
    value: float | None

    @property
    def groups(self) -> Groups:
        """What is left."""
        return without(len(self.single), self.dropped)


def drop_layers(layers: int, count: int, measure: Measure) -> LayerDrop:
    """Leave out those layers that alone cost least; layers + 1 measurements.

    Each layer is left out alone, the network is measured, and the ``count`` layers whose loss costs least go
    together. (Choosing them one after the other would take ``count`` times as many measurements.)

    Args:
        layers: of the original network.
        count: how many to leave out, less than ``layers``.
        measure: gives the metric.
    """
    single = [measure(without(layers, (layer,)), "keep_last") for layer in range(layers)]
    order = sorted(range(layers), key=lambda layer: (not math.isfinite(single[layer]), single[layer], layer))
    dropped = tuple(order[:count])
    value = measure(without(layers, dropped), "keep_last")
    return LayerDrop(dropped, tuple(map(_number, single)), _number(value))


def without(layers: int, dropped: tuple[int, ...]) -> Groups:
    """The groups of a network in which some layers are missing and all others stay alone."""
    return tuple((layer,) for layer in range(layers) if layer not in dropped)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
