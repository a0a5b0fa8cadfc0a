# SPDX-License-Identifier: Apache-2.0
"""The body fitted to landmarks: the estimator that needs no trained network, and the baseline of those."""

from fasthmr.decoder.landmark_fit.fit import FitSettings, fit_landmarks

__all__ = ["FitSettings", "fit_landmarks"]
