"""The data sets of the literature, packed with the package: nothing is downloaded."""

from __future__ import annotations

from fairmi.datasets._biased_digits import make_biased_digits
from fairmi.datasets._lazy_array import LazyArray
from fairmi.datasets._tables import load_adult, load_german

__all__ = ["LazyArray", "load_adult", "load_german", "make_biased_digits"]
