"""A table in any form -> columns of numbers."""

from __future__ import annotations

from fairmi.preprocessing.table_encoder import TableEncoder

__all__ = ["TableEncoder"]
