"""The baseline: one Prophet model a series, a whole fleet at a time."""

from driftline.models.baseline.fit import fit_fleet
from driftline.models.baseline.fleet import Fleet, Prediction

__all__ = ["Fleet", "Prediction", "fit_fleet"]
