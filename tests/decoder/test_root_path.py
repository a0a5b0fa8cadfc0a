# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from fasthmr.decoder.root_path import PathDeviations, root_path


def walk(frames: int = 60, seed: int = 0) -> dict[str, np.ndarray]:
    """Somebody who walks past; everything measured exactly."""
    random = np.random.default_rng(seed)
    times = np.arange(frames) / 30
    path = np.stack([-1 + times, 0.1 * np.sin(4 * times), 5 + 0.5 * times], axis=1)
    points = random.normal(scale=0.3, size=(frames, 25, 3))
    placed = points + path[:, None]
    return {
        "path": path,
        "points": points,
        "rays": placed[..., :2] / placed[..., 2:],
        "weights": np.ones((frames, 25)),
        "speed": np.gradient(path, axis=0) * 0 + np.diff(path, axis=0, append=path[-1:]) * 30,
        "toward": path / np.linalg.norm(path, axis=1, keepdims=True),
        "times": times,
    }


def found(case: dict[str, np.ndarray], deviations: PathDeviations | None = None) -> np.ndarray:
    given = {name: value for name, value in case.items() if name != "path"}
    return root_path(**given, deviations=deviations)


def test_exact_measurements_give_the_path() -> None:
    case = walk()
    assert np.abs(found(case) - case["path"]).max() < 1e-6


def test_single_frame_is_the_least_squares_of_its_rays() -> None:
    case = {name: value[:1] for name, value in walk().items()}
    assert np.abs(found(case) - case["path"]).max() < 1e-6


def test_band_is_the_whole_system() -> None:
    """The same normal equations, written out and solved densely."""
    case, random = walk(12, seed=1), np.random.default_rng(2)
    rays = case["rays"] + random.normal(scale=0.005, size=case["rays"].shape)
    speed = case["speed"] + random.normal(scale=0.2, size=case["speed"].shape)
    deviations = PathDeviations(landmark=30.0, across=0.02, along=0.03)  # so wide that nothing is an outlier
    rows, right = [], []
    for t in range(12):
        for k in range(25):
            u, v = rays[t, k]
            x, y, z = case["points"][t, k]
            for coefficients, value in (((1, 0, -u), u * z - x), ((0, 1, -v), v * z - y)):
                row = np.zeros(36)
                row[3 * t : 3 * t + 3] = coefficients
                rows.append(row / 30)
                right.append(value / 30)
    for t in range(11):
        d = case["toward"][t]
        along, across = np.outer(d, d), np.eye(3) - np.outer(d, d)
        root = along / 0.03 + across / 0.02
        block = np.zeros((3, 36))
        block[:, 3 * t : 3 * t + 3], block[:, 3 * t + 3 : 3 * t + 6] = -root, root
        rows.extend(block)
        right.extend(root @ speed[t] / 30)
    expected = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0].reshape(12, 3)
    mine = found({**case, "rays": rays, "speed": speed}, deviations)
    assert np.abs(mine - expected).max() < 1e-3


def test_gap_is_crossed_at_the_speed_that_is_known() -> None:
    case = walk()
    case["weights"][20:40] = 0
    assert np.abs(found(case) - case["path"]).max() < 1e-4


def test_landmark_that_is_far_off_hardly_counts() -> None:
    case = walk()
    case["rays"][:, 3] += 0.5
    assert np.abs(found(case) - case["path"]).max() < 0.06


def test_speed_calms_the_depth() -> None:
    case, random = walk(seed=3), np.random.default_rng(4)
    case["rays"] = case["rays"] + random.normal(scale=0.01, size=case["rays"].shape)
    tied = found(case)
    alone = found(case, PathDeviations(across=1e3, along=1e3))
    rough = [np.abs(np.diff(path[:, 2], n=2)).mean() for path in (tied, alone)]
    assert rough[0] < 0.2 * rough[1]


def test_never_seen_stands_at_a_usual_distance() -> None:
    case = walk()
    case["weights"][:] = 0
    assert np.allclose(np.linalg.norm(found(case), axis=1), 4.0)
