"""Whether to believe a model: what it says of itself, fitted to marks of people, and how far the two agree."""

from evaluations.rating.calibration.platt import MAX_MARGIN, NONE, Calibration, fit, of

__all__ = ["MAX_MARGIN", "NONE", "Calibration", "fit", "of"]
