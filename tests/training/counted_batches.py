# SPDX-License-Identifier: Apache-2.0
"""Batches that are made in another process, which has to import what makes them."""

from __future__ import annotations

from collections.abc import Callable

import torch

from fasthmr.errors import BadInput


def counting(first: int, size: int) -> Callable[[], tuple[int, torch.Tensor]]:
    """Numbers from ``first`` on, each with a tensor full of it."""
    numbers = iter(range(first, first + 1000))

    def draw() -> tuple[int, torch.Tensor]:
        number = next(numbers)
        return number, torch.full((size,), float(number))

    return draw


def refusing(name: str) -> Callable[[], int]:
    """Input that cannot be read."""
    raise BadInput(f"{name} is damaged. Make it again.")


def failing() -> Callable[[], int]:
    """A mistake in the program."""
    raise ZeroDivisionError("on purpose")
