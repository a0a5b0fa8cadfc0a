# SPDX-License-Identifier: Apache-2.0
"""The open body, once for all tests of rendered people."""

from __future__ import annotations

import pytest

from fasthmr.body import BodyModel, load_body


@pytest.fixture(scope="session")
def body() -> BodyModel:
    return load_body("open")
