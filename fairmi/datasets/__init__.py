"""The data sets of the literature, packed with the package: nothing is downloaded."""

from __future__ import annotations

from fairmi.datasets._adult import load_adult
from fairmi.datasets._biased_digits import make_biased_digits
from fairmi.datasets._german import load_german
from fairmi.datasets._lazy_array import LazyArray

__all__ = ["LazyArray", "load_adult", "load_german", "make_biased_digits"]
