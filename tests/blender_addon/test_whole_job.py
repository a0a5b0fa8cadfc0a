# SPDX-License-Identifier: GPL-3.0-or-later
"""The progress of a whole job from that of its stages: never back, and a time that is right if it can be."""

import random

import pytest
from recover_motion.whole_job import SHARES, SHARES_OF_PEOPLE, SHARES_WITH_ENCODER, WholeJob


class Clock:
    def __init__(self):
        self.now = 7.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("shares", [SHARES, SHARES_OF_PEOPLE, SHARES_WITH_ENCODER])
def test_the_shares_make_a_whole(shares):
    assert sum(shares.values()) == pytest.approx(1.0)


def test_nothing_is_known_at_first():
    job = WholeJob()
    assert (job.fraction, job.seconds_left) == (0.0, None)
    job.note("people", 0, None)
    assert job.seconds_left is None


def test_a_job_as_it_was_measured_is_told_rightly_all_along():
    """A job that divides as `SHARES` says, 100 s long: the fraction is the time, the rest is what is left."""
    clock = Clock()
    job = WholeJob(SHARES, clock)
    began = clock.now
    for stage, share in SHARES.items():
        for step in range(101):
            clock.now = began + 100.0 * share * step / 100
            job.note(stage, step, 100)
            spent = clock.now - 7.0
            assert job.fraction == pytest.approx(spent / 100.0, abs=1e-6)
            if job.seconds_left is not None:
                assert job.seconds_left == pytest.approx(100.0 - spent, abs=1e-6)
        began = clock.now
    assert job.fraction == pytest.approx(1.0)


def test_it_never_runs_back():
    random.seed(3)
    job = WholeJob()
    last = 0.0
    for _ in range(500):
        job.note(random.choice([*SHARES, "export"]), random.randint(0, 12), random.choice([None, 10]))
        assert last <= job.fraction <= 1.0
        last = job.fraction


def test_stages_that_were_finished_before_say_nothing_about_the_pace():
    clock = Clock()
    job = WholeJob(SHARES, clock)
    job.note("people", 100, 100)  # taken from the folder
    assert job.seconds_left is None
    job.note("fit", 0, 100)
    clock.now += 10.0
    job.note("fit", 50, 100)
    assert job.seconds_left == pytest.approx(10.0 + 10.0 * 0.02 / 0.185)
    clock.now += 4.0  # it counts down while nothing is said
    assert job.seconds_left == pytest.approx(6.0 + 10.0 * 0.02 / 0.185)
