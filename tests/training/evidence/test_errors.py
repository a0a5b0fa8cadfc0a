# SPDX-License-Identifier: Apache-2.0
"""Random parts of a detector's errors have the sizes and the lengths that were asked for."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fasthmr.errors import BadInput
from fasthmr.files import load_arrays, save_arrays
from fasthmr.people.landmarks import LANDMARK_INDEX, LANDMARK_MIRROR
from fasthmr.training.evidence.errors import (
    ErrorParameters,
    exact,
    exchange_sides,
    hidden_landmarks,
    stretches,
    usual,
    wandering,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_wandering_is_the_naive_process() -> None:
    memory, step = torch.tensor([0.9, 0.5]), torch.tensor([1 / 30, 1 / 15, 1 / 60])
    made = wandering(torch.empty(3, 5, 4, 2), memory, generator(), step)
    drawn = torch.randn(3, 5, 4, 2, generator=generator())
    for row in range(3):
        for column in range(2):
            keep = float(memory[column]) ** (30 * float(step[row]))
            value = drawn[row, 0, :, column]
            assert torch.allclose(made[row, 0, :, column], value)
            for frame in range(1, 5):
                value = keep * value + (1 - keep**2) ** 0.5 * drawn[row, frame, :, column]
                assert torch.allclose(made[row, frame, :, column], value, atol=1e-5)


def test_wandering_is_of_unit_size_and_forgets() -> None:
    step = torch.tensor([1 / 30, 1 / 15]).repeat(300)
    values = wandering(torch.empty(600, 40, 3), torch.tensor(0.8), generator(), step)
    assert abs(float(values.square().mean()) - 1) < 0.03
    for half, keep in ((0, 0.8), (1, 0.64)):
        own = values[half::2]
        assert float((own[:, 1:] * own[:, :-1]).mean()) == pytest.approx(keep, abs=0.03)
        assert float((own[:, 3:] * own[:, :-3]).mean()) == pytest.approx(keep**3, abs=0.04)


def test_stretches_begin_as_often_and_last_as_long_as_asked() -> None:
    step = torch.full((4000,), 1 / 30)
    inside = stretches(4000, 300, 0.05, 0.6, step, generator())
    assert inside.shape == (4000, 300)
    assert float(inside.any(1).float().mean()) == pytest.approx(1 - np.exp(-0.05 * 10), abs=0.03)
    begun = inside[:, 1:] & ~inside[:, :-1]
    assert (begun.sum(1) <= 1).all()
    whole = inside.any(1) & ~inside[:, 0] & ~inside[:, -1]
    # those that begin and end within the window, so a little shorter than all
    assert float(inside[whole].sum(1).float().mean()) / 30 == pytest.approx(0.6, abs=0.07)
    assert not stretches(100, 30, 0.0, 1.0, step[:100], generator()).any()


def test_limbs_are_hidden_whole() -> None:
    hidden = hidden_landmarks(500, 60, torch.full((500,), 1 / 30), generator())
    assert 0.005 < hidden.float().mean() < 0.2
    elbow, wrist, index = (LANDMARK_INDEX[f"left_{name}"] for name in ("elbow", "wrist", "index"))
    assert (~hidden[..., elbow] | hidden[..., wrist]).all()  # with the elbow goes the hand
    assert (~hidden[..., wrist] | hidden[..., index]).all()
    assert not hidden[..., LANDMARK_INDEX["nose"]].any()


def test_exchanged_sides() -> None:
    values = torch.arange(2 * 3 * 33).reshape(2, 3, 33).float()
    swapped = torch.tensor([[True, False, False], [False, False, True]])
    made = exchange_sides(values, swapped)
    mirror = list(LANDMARK_MIRROR)
    assert torch.equal(made[0, 0], values[0, 0][mirror])
    assert torch.equal(made[1, 2], values[1, 2][mirror])
    assert torch.equal(made[~swapped], values[~swapped])
    legs = [LANDMARK_INDEX[f"{side}_{name}"] for side in ("left", "right") for name in ("knee", "ankle")]
    made = exchange_sides(values[..., None].expand(2, 3, 33, 2), swapped, legs)
    for landmark in range(33):
        source = mirror[landmark] if landmark in legs else landmark
        assert torch.equal(made[0, 0, landmark, 0], values[0, 0, source])
        assert torch.equal(made[0, 0, landmark, 1], values[0, 0, source])
    assert torch.equal(exchange_sides(exchange_sides(values, swapped), swapped), values)


def test_mean_is_a_small_network_of_the_pose() -> None:
    random = generator()
    parameters = replace(
        usual(),
        mean_in=torch.randn(99, 7, generator=random),
        mean_inner=torch.randn(7, generator=random),
        mean_out=torch.randn(7, 165, generator=random),
        mean_constant=torch.randn(165, generator=random),
    )
    landmarks = torch.randn(2, 3, 33, 3, generator=random)
    made = parameters.mean(landmarks)
    inner = np.tanh(
        landmarks[1, 2].reshape(99).numpy() @ parameters.mean_in.numpy() + parameters.mean_inner.numpy()
    )
    wanted = inner @ parameters.mean_out.numpy() + parameters.mean_constant.numpy()
    np.testing.assert_allclose(made[1, 2].numpy(), wanted.reshape(33, 5), atol=1e-4)
    assert (exact().mean(landmarks) == 0).all()


# --- files


@pytest.mark.parametrize("make", [exact, usual])
def test_round_trip(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    parameters = make()
    parameters.save(tmp_path / "errors.npz")
    loaded = ErrorParameters.load(tmp_path / "errors.npz")
    for field in fields(parameters):
        assert torch.equal(getattr(loaded, field.name), getattr(parameters, field.name)), field.name


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "errors.npz"
    with pytest.raises(BadInput, match=r"error parameters at .*errors\.npz"):
        ErrorParameters.load(path)
    usual().save(path)
    arrays = load_arrays(path)
    for name, value in (("clip", np.zeros((33, 4))), ("size", np.zeros(1)), ("memory", np.zeros((1, 5)))):
        save_arrays(path, {**arrays, name: value})
        with pytest.raises(BadInput, match=rf"errors\.npz lack '{name}'"):
            ErrorParameters.load(path)
    save_arrays(path, {name: value for name, value in arrays.items() if name != "swaps"})
    with pytest.raises(BadInput, match="lack 'swaps'"):
        ErrorParameters.load(path)
    usual().save(path)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(BadInput, match="damaged"):
        ErrorParameters.load(path)


def test_noise_has_the_sizes_and_ties_of_the_parameters() -> None:
    generator = torch.Generator().manual_seed(3)
    # all landmarks' x are wrong together, everything else for itself
    ties = torch.eye(165)
    ties[::5] = 0.0
    ties[::5, 0] = 1.0
    sizes = 0.01 * (1 + torch.rand(33, 5, generator=generator))
    zero = torch.zeros(33, 5)
    for name in ("clip", "slow", "fast"):
        changes = {"clip": zero, "slow": zero, "fast": zero, name: sizes, f"{name}_ties": ties}
        noise = replace(exact(), **changes).noise(4000, 2, torch.full((4000,), 1 / 30), generator)
        assert torch.allclose(noise[:, 0].std(0), sizes, rtol=0.06)
        across = (noise[:, 0] / sizes).flatten(1).T.corrcoef()
        assert (across[::5, ::5] > 0.999).all()
        assert (across[1::5, ::5].abs() < 0.08).all()
        lasts = float((noise[:, 0] * noise[:, 1]).mean() / noise.square().mean())
        assert abs(lasts - {"clip": 1.0, "slow": 0.9, "fast": 0.0}[name]) < 0.03
