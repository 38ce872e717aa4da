"""The data sets of the literature, packed with the package: nothing is downloaded."""

from __future__ import annotations

from fairmi.datasets._adult import load_adult
from fairmi.datasets._german import load_german

__all__ = ["load_adult", "load_german"]
