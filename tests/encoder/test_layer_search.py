# SPDX-License-Identifier: Apache-2.0
"""The greedy search over layers against a plain simulation of the paper's Algorithm 1."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasthmr.encoder.layer_plan import Groups, joined
from fasthmr.encoder.layer_search import LayerSearch, drop_layers, without
from fasthmr.errors import BadInput

Metric = Callable[[Groups], float]


def search(layers: int, metric: Metric, tau: float, baseline: float = 0.0) -> LayerSearch:
    found = LayerSearch(layers, baseline, tau)
    while found.window is not None:
        found.answer(metric(found.question))
    return found


def algorithm_1(layers: int, metric: Metric, tau: float, baseline: float) -> tuple[list[list[int]], int]:
    """The paper's pseudo-code on a list of lists of layers, and the trailing window committed.

    Written down independently: networks are lists of layers, which are lists of original layers, and a
    merge replaces some entries of the list by one.
    """
    network = [[layer] for layer in range(layers)]

    def merge(network: list[list[int]], low: int, high: int) -> list[list[int]]:
        one = [layer for entry in network[low : high + 1] for layer in entry]
        return [*network[:low], one, *network[high + 1 :]]

    low, high, tests = layers - 2, layers - 1, 0
    while low >= 0:
        trial = merge(network, low, high)
        tests += 1
        value = metric(tuple(map(tuple, trial)))
        if value - baseline < tau:
            low = low - 1
        elif high - low > 1:
            network = merge(network, low + 1, high)
            high = low
            low = high - 1
        else:
            high = high - 1
            low = high - 1
    if high - low > 1:
        network = merge(network, low + 1, high)
    return network, tests


def scripted(seed: int, share: float) -> Metric:
    """A metric that is a function of the whole network, as random as a hash: 0 (good) or 1 (bad)."""
    return lambda groups: float((hash((seed, groups)) % 1000) / 1000 >= share)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 14), st.integers(0, 10**6), st.sampled_from([0.0, 0.3, 0.5, 0.7, 0.9, 1.0]))
def test_search_is_algorithm_1(layers: int, seed: int, share: float) -> None:
    metric = scripted(seed, share)
    expected, tests = algorithm_1(layers, metric, 0.5, 0.0)
    found = search(layers, metric, 0.5)
    assert [list(group) for group in found.groups] == expected
    assert len(found.tests) == tests == layers - 1


def test_all_pass_becomes_one_layer() -> None:
    """The trailing window is merged: the algorithm as printed would change nothing."""
    found = search(32, lambda _: -1.0, 0.1)
    assert found.groups == (tuple(range(32)),)
    assert found.windows == [(0, 31)]
    assert len(found.tests) == 31


def test_none_pass_changes_nothing() -> None:
    found = search(8, lambda _: 1.0, 0.1)
    assert found.groups == joined(8, [])
    assert found.windows == []
    assert [(test.low, test.high) for test in found.tests] == [(low, low + 1) for low in range(6, -1, -1)]


def test_window_grows_and_is_committed_when_it_fails() -> None:
    """Six layers; 3..5 pass together, 2 is one too many; then 1..2 fails, and 0..1 passes at the very end."""
    good = {((4, 5),), ((3, 4, 5),), ((0, 1), (3, 4, 5))}
    asked: list[tuple[tuple[int, ...], ...]] = []

    def metric(groups: Groups) -> float:
        asked.append(tuple(group for group in groups if len(group) > 1))
        return 0.0 if asked[-1] in good else 5.0

    found = search(6, metric, 0.1)
    assert asked == [
        ((4, 5),),
        ((3, 4, 5),),
        ((2, 3, 4, 5),),
        ((1, 2), (3, 4, 5)),
        ((0, 1), (3, 4, 5)),
    ]
    assert found.windows == [(3, 5), (0, 1)]
    assert found.groups == ((0, 1), (2,), (3, 4, 5))


def test_a_larger_tau_may_leave_more_layers() -> None:
    """The paper's table is not monotone in tau: what is accepted early decides what is asked later."""
    errors = {
        ((2, 3),): 0.3,  # passes the larger tau only, and spoils what follows
        ((1, 2, 3),): 9.0,
        ((0, 1), (2, 3)): 9.0,
        ((1, 2),): 0.05,
        ((0, 1, 2),): 0.05,
    }

    def metric(groups: Groups) -> float:
        return errors[tuple(group for group in groups if len(group) > 1)]

    assert len(search(4, metric, 0.1).groups) == 2
    assert len(search(4, metric, 0.5).groups) == 3


def test_baseline_is_the_original_and_the_comparison_is_signed() -> None:
    values = iter([9.0, 10.05, 10.09, 10.11])  # better than before passes; the best so far is no baseline
    found = search(5, lambda _: next(values), 0.1, baseline=10.0)
    assert [test.accepted for test in found.tests] == [True, True, True, False]
    assert found.groups == ((0,), (1, 2, 3, 4))
    assert found.value == 10.09


def test_exactly_tau_is_too_much() -> None:
    assert search(2, lambda _: 0.5, 0.5).groups == ((0,), (1,))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_never_good_enough(bad: float) -> None:
    found = search(3, lambda _: bad, 0.1)
    assert found.groups == ((0,), (1,), (2,))
    assert [test.value for test in found.tests] == [None, None]
    with pytest.raises(BadInput, match="fp32"):
        LayerSearch(3, bad, 0.1)


def test_growing_window_counts_as_found_while_the_search_runs() -> None:
    found = LayerSearch(5, 0.0, 0.1)
    assert found.groups == joined(5, [])
    found.answer(0.0)
    assert found.groups == ((0,), (1,), (2,), (3, 4))
    found.answer(0.05)
    assert found.groups == ((0,), (1,), (2, 3, 4))
    assert found.value == 0.05
    found.answer(1.0)
    assert found.groups == ((0,), (1,), (2, 3, 4))
    assert found.window == (0, 1)
    found.answer(1.0)
    with pytest.raises(ValueError, match="over"):
        found.answer(0.0)
    with pytest.raises(ValueError, match="over"):
        _ = found.question


def test_dropped_layers_are_those_that_alone_cost_least() -> None:
    cost = [5.0, 0.2, math.nan, 0.1, 0.2]
    asked: list[Groups] = []

    def measure(groups: Groups, variant: str) -> float:
        asked.append(groups)
        missing = set(range(5)) - {layer for group in groups for layer in group}
        return sum(cost[layer] for layer in missing)

    found = drop_layers(5, 2, measure)
    assert found.dropped == (3, 1)  # the lower layer first when two cost the same
    assert found.single == (5.0, 0.2, None, 0.1, 0.2)
    assert found.value == pytest.approx(0.3)
    assert found.groups == without(5, (1, 3)) == ((0,), (2,), (4,))
    assert len(asked) == 6
