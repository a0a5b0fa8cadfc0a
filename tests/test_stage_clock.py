# SPDX-License-Identifier: Apache-2.0
"""Progress never goes back, is not told too often, and estimates the time that is left."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from fasthmr.stage_clock import STAGES, StageClock


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


REPORTS = st.lists(
    st.tuples(st.sampled_from(STAGES), st.integers(0, 50), st.none() | st.integers(0, 50), st.floats(0, 2)),
    max_size=60,
)


@given(REPORTS)
def test_steps_never_go_back_whatever_is_reported(reports: list[tuple[str, int, int | None, float]]) -> None:
    watch = Watch()
    clock = StageClock(interval=0.5, now=watch)
    steps = []
    for stage, done, total, pause in reports:
        watch.time += pause
        step = clock.step(stage, done, total)
        steps += [step] if step else []
    for before, after in itertools.pairwise(steps):
        assert STAGES.index(after.stage) >= STAGES.index(before.stage)
        assert after.stage != before.stage or after.done >= before.done
    for step in steps:
        assert step.total is None or step.total >= step.done
        assert step.eta_s is None or step.eta_s >= 0
    assert bool(steps) == bool(reports)


def test_only_so_many_steps_a_second_but_always_the_first_and_the_last() -> None:
    watch = Watch()
    clock = StageClock(interval=1.0, now=watch)
    shown = []
    for done in range(101):
        step = clock.step("people", done, 100)
        shown += [step.done] if step else []
        watch.time += 0.1
    assert shown[0] == 0
    assert shown[-1] == 100
    assert len(shown) == 11


def test_a_total_that_was_too_small_does_not_open_the_gates() -> None:
    clock = StageClock(interval=1.0, now=Watch())
    shown = [clock.step("people", done, 10) for done in range(40)]
    assert [step.done for step in shown if step] == [0, 10]


def test_time_left_follows_the_pace_and_is_unknown_without_a_total() -> None:
    watch = Watch()
    clock = StageClock(interval=0.0, now=watch)
    clock.step("people", 0, 100)
    watch.time = 20.0
    step = clock.step("people", 40, 100)
    assert step is not None
    assert step.eta_s == 30.0
    step = clock.step("people", 41, None)
    assert step is not None
    assert step.eta_s is None


def test_a_stage_of_no_flow_is_shown_and_sets_nothing_back() -> None:
    clock = StageClock()
    assert clock.step("export", 0, None) is not None
    assert clock.step("people", 0, None) is not None
    assert clock.step("probe", 0, None) is None
