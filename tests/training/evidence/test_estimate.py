# SPDX-License-Identifier: Apache-2.0
"""Parameters of errors are found again from pairs that were made with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fasthmr.body import BodyModel, load_body
from fasthmr.errors import BadInput
from fasthmr.people.landmarks import LANDMARK_INDEX, LANDMARK_MIRROR
from fasthmr.training.evidence import estimate as module
from fasthmr.training.evidence.errors import ErrorParameters, exact, usual
from fasthmr.training.evidence.estimate import (
    Measured,
    _root,
    _ties,
    compare_text,
    estimate,
    measure_errors,
    root_mean_squares,
)
from fasthmr.training.mocap.packed import MocapSet, write_mocap_set
from tests.training.evidence.recorded_pairs import write_pairs
from tests.training.tiny_mocap import swaying

NOSE = LANDMARK_INDEX["nose"]


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("open")


@pytest.fixture(scope="module")
def mocap(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> MocapSet:
    clips = [swaying(body, 140, seed) for seed in range(6)]
    return write_mocap_set(tmp_path_factory.mktemp("estimate") / "set", clips)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STEPS", 80)
    monkeypatch.setattr(module, "_FOLDS", 2)
    monkeypatch.setattr(module, "_BATCH", 512)


def known() -> ErrorParameters:
    """The usual errors, without what hides a part of them, and with a nose that is always seen too low."""
    constant = torch.zeros(33, 5)
    constant[NOSE] = torch.tensor([0.0, 0.06, 0.0, 0.0, 0.05])
    return replace(
        usual(),
        mean_constant=constant.flatten(),
        swaps=torch.zeros(3),
        size=torch.tensor(0.06),
        lean=torch.tensor([0.10, 0.05]),
    )


@pytest.mark.usefixtures("quick")
def test_known_parameters_are_found(body: BodyModel, mocap: MocapSet, tmp_path: Path) -> None:
    write_pairs(tmp_path, mocap, body, known(), files=1, sequences=48, frames=96)
    found = estimate(measure_errors(tmp_path))
    wanted = known()
    # over all landmarks, for a few dozen sequences say little of a single one; a part of what wanders slowly
    # counts as lasting, since three seconds are hardly longer
    for name, tolerance in (("fast", 0.15), ("slow", 0.25), ("clip", 0.6)):
        ratio = getattr(found, name).square().mean(0).sqrt() / getattr(wanted, name).square().mean(0).sqrt()
        assert torch.allclose(ratio, torch.ones(5), atol=tolerance), (name, ratio)
    # what lasts a clip and what wanders are told apart roughly, their sum well
    both = [(one.slow.square() + one.clip.square()).mean(0).sqrt() for one in (found, wanted)]
    assert torch.allclose(both[0] / both[1], torch.ones(5), atol=0.2)
    assert torch.allclose(found.memory, wanted.memory, atol=0.06)
    assert float(found.size) == pytest.approx(0.06, rel=0.4)
    assert float(found.lean[0]) == pytest.approx(0.10, rel=0.4)
    assert float(found.lean[1]) == pytest.approx(0.05, rel=0.5)
    assert torch.allclose(found.visibility[:, 0].mean(), torch.tensor(4.0), atol=0.5)
    assert torch.allclose(found.visibility[:, 1].mean(), torch.tensor(1.5), atol=0.4)
    assert torch.allclose(found.box, wanted.box, atol=0.005)
    assert found.swaps.max() < 0.02
    assert found.lost[0] < 0.02
    # the mean: noses are told too low, others are not
    pose = measure_errors(tmp_path).truth
    mean = found.mean(pose).mean((0, 1))
    assert float(mean[NOSE, 1]) == pytest.approx(0.06, abs=0.02)
    assert float(mean[NOSE, 4]) == pytest.approx(0.05, abs=0.02)
    assert mean[LANDMARK_INDEX["left_hip"]].abs().max() < 0.015


def test_no_errors_are_found_where_there_are_none(body: BodyModel, mocap: MocapSet, tmp_path: Path) -> None:
    write_pairs(tmp_path, mocap, body, exact(), sequences=6)
    measured = measure_errors(tmp_path)
    assert measured.errors[measured.in_sight].abs().max() < 1e-3
    found = estimate(measured)
    # what six sequences leave of a mean for others is far below any detector's errors
    for name in ("clip", "slow", "fast", "size", "lean", "box", "swaps"):
        assert getattr(found, name).abs().max() < 0.02, name
    for value in vars(found).values():
        assert value.isfinite().all()


def test_errors_are_measured_where_they_are_made(body: BodyModel, mocap: MocapSet, tmp_path: Path) -> None:
    """An offset in metres of the view, and one in shares of the box, come back as such."""
    plain = write_pairs(tmp_path, mocap, body, exact(), sequences=5)[0]
    constant = torch.zeros(33, 5)
    constant[NOSE] = torch.tensor([0.01, -0.02, 0.03, 0.05, -0.04])
    write_pairs(tmp_path, mocap, body, replace(exact(), mean_constant=constant.flatten()), sequences=5)
    measured = measure_errors(tmp_path)
    assert torch.allclose(measured.errors[:, :, NOSE], constant[NOSE].expand(5, 24, 5), atol=1e-3)
    assert measured.errors[:, :, NOSE + 1 :].abs().max() < 1e-3
    assert torch.equal(measured.step, torch.from_numpy(plain["step"]))
    assert torch.equal(measured.inside, torch.from_numpy(plain["inside"]))


def still(sequences: int = 3, frames: int = 60) -> Measured:
    """A figure with arms and legs apart, which is found exactly."""
    truth = torch.zeros(sequences, frames, 33, 3)
    for name, index in LANDMARK_INDEX.items():
        truth[..., index, 0] = 0.3 if name.startswith("left") else -0.3 if name.startswith("right") else 0.0
        truth[..., index, 1] = 0.05 * index
    return Measured(
        truth=truth,
        errors=torch.zeros(sequences, frames, 33, 5),
        visibility=torch.ones(sequences, frames, 33),
        inside=torch.ones(sequences, frames, 33, dtype=torch.bool),
        edges=torch.zeros(sequences, frames, 4),
        step=torch.full((sequences,), 1 / 30),
    )


@pytest.mark.parametrize(("which", "place"), [(("",), 0), (("knee", "ankle"), 1), (("elbow", "wrist"), 2)])
def test_exchanged_sides_are_counted(which: tuple[str, ...], place: int) -> None:
    measured = still()
    rows = [index for name, index in LANDMARK_INDEX.items() if any(part in name for part in which)]
    mirror = list(LANDMARK_MIRROR)
    exchange = measured.truth[:, :, [mirror[row] for row in rows]] - measured.truth[:, :, rows]
    errors = measured.errors.clone()
    for sequence, spans in enumerate(([(10, 20), (40, 45)], [(5, 6)], [])):
        for first, last in spans:
            for index, row in enumerate(rows):
                errors[sequence, first:last, row, :3] = exchange[sequence, first:last, index]
    swaps = module._swaps(measured.with_errors(errors))
    wanted = torch.zeros(3)
    wanted[place] = 3 / 6  # three stretches in six seconds
    assert torch.allclose(swaps, wanted, atol=1e-6)


def test_lost_stretches_are_counted_inside_the_clip() -> None:
    measured = still()
    visibility = measured.visibility.clone()
    visibility[0, :10] = 0  # not found yet
    visibility[0, 20:26] = visibility[1, 30:42] = 0
    visibility[2, 50:] = 0  # gone for good
    rate, length = module._lost(replace(measured, visibility=visibility)).tolist()
    assert rate == pytest.approx(2 / ((180 - 20) / 30))
    assert length == pytest.approx(9 / 30)


def test_root_mean_squares_are_of_what_is_seen_in_the_picture() -> None:
    measured = still()
    errors = measured.errors.clone()
    errors[:, :30, NOSE] = torch.tensor([0.1, 0.0, 0.2, 0.0, 0.3])
    visibility = measured.visibility.clone()
    visibility[:, 40:] = 0
    inside = measured.inside.clone()
    inside[:, :10, NOSE] = False
    squares = root_mean_squares(replace(measured, errors=errors, visibility=visibility, inside=inside))
    assert torch.allclose(
        squares[NOSE], torch.tensor([0.1, 0.0, 0.2, 0.0, 0.3]) * (20 / 30) ** 0.5, atol=1e-6
    )
    assert squares[NOSE + 1 :].max() == 0


def test_table_names_every_landmark() -> None:
    real, modelled = torch.full((33, 5), 0.0123), torch.full((33, 5), 0.0456)
    lines = compare_text(real, modelled).splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(LANDMARK_INDEX)
    assert lines[1].split()[1:] == ["12.3", "45.6"] * 3 + ["1.2", "4.6"] * 2


def test_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no recorded pairs"):
        measure_errors(tmp_path)


def test_roots_of_correlations() -> None:
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randn(6, 6, generator=generator)
    covariance = mixed @ mixed.T
    root = _root(covariance)
    size = covariance.diagonal().sqrt()
    wanted = 0.95 * covariance / size[:, None] / size + 0.05 * torch.eye(6)
    assert torch.allclose(root @ root.T, wanted, atol=1e-4)
    # what no noise can have, such as a number that is not tied to itself, becomes the nearest that can be
    odd = _root(torch.tensor([[1.0, 2.0], [2.0, 1.0]]))
    assert torch.allclose((odd @ odd.T).diagonal(), torch.ones(2), atol=1e-5)
    assert (odd @ odd.T)[0, 1] > 0.9


def test_ties_are_found_again() -> None:
    generator = torch.Generator().manual_seed(1)
    ties = torch.eye(165)
    ties[::5] = 0.0
    ties[::5, 0] = 1.0
    parameters = replace(
        exact(),
        **{name: torch.full((33, 5), 0.05) for name in ("clip", "slow", "fast")},
        **{f"{name}_ties": ties for name in ("clip", "slow", "fast")},
    )
    rest = parameters.noise(150, 40, torch.full((150,), 1 / 30), generator)
    for root in _ties(rest, torch.ones(150, 40, 33)):
        found = root @ root.T
        assert found[::5, ::5].mean() > 0.8
        assert found[1::5, ::5].abs().mean() < 0.15
