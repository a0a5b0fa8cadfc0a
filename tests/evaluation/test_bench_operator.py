# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from fasthmr.encoder.merge_operator import merge_tokens
from fasthmr.errors import BadCall
from fasthmr.evaluation import bench_operator as bench
from tests.encoder.merge_cases import random_case


def test_the_usual_merge_is_a_fair_baseline() -> None:
    """Where no two similarities are near each other it gives the very same groups."""
    case = random_case(1, (3, 32, 12, 40), 9, levels=1)
    tokens, sizes = bench.usual_merge(case.tokens, case.metric, case.sizes, case.levels.bool(), 9)
    expected = merge_tokens(*case.arguments)
    for image in range(3):
        order, other = sizes[image].argsort(stable=True), expected.sizes[image].argsort(stable=True)
        assert torch.equal(sizes[image][order], expected.sizes[image][other])
        mine = tokens[image].double().sum(-1).sort().values
        torch.testing.assert_close(
            mine, expected.tokens[image].double().sum(-1).sort().values, rtol=1e-5, atol=1e-5
        )


def test_figures_of_each_size_and_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bench.SHAPES, "tiny", (24, 16, 8, 5))
    figures = bench.bench_operator(batches=(1, 2), sizes=("tiny",), repeats=3, warm_up=0)
    assert [(row["size"], row["batch"]) for row in figures["rows"]] == [("tiny", 1), ("tiny", 2)]
    for row in figures["rows"]:
        took = {name: values["median"] for name, values in row["milliseconds"].items()}
        assert min(took.values()) >= 0
        assert row["faster_baseline"] == min(("reference", "usual"), key=lambda name: took[name])
    text = bench.as_text(figures)
    assert text.count("\n") == 3
    assert "tiny" in text


def test_all_ways_get_the_same_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bench.SHAPES, "tiny", (24, 16, 8, 5))
    calls = bench._calls("tiny", 2, torch.device("cpu"), torch.float32)
    operator, reference = calls["operator"](), calls["reference"]()
    assert torch.equal(operator[3], reference[3])  # type: ignore[index]


@pytest.mark.parametrize("wrong", [{"sizes": ("huge",)}, {"repeats": 0}, {"batches": ()}, {"batches": (0,)}])
def test_what_cannot_be_measured_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadCall):
        bench.bench_operator(**wrong)  # type: ignore[arg-type]
