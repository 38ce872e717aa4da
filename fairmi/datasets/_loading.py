"""What the loaders share: the packed files, and tables in scikit-learn's Bunch."""

from __future__ import annotations

from importlib.resources import files
from typing import IO, Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch


def open_packed(name: str) -> IO[bytes]:
    """Open the packed file `name`, still compressed, for reading."""
    return (files("fairmi.datasets") / "data" / name).open("rb")


def bunch_or_pair(
    data: pd.DataFrame,
    target: pd.Series,
    sensitive_features: pd.DataFrame,
    *,
    description: str,
    return_X_y: bool,
    as_frame: bool,
) -> Bunch | tuple[Any, Any]:
    """Return the tables in the form that the caller of a loader asked for."""
    target_names = np.array(target.cat.categories, dtype=object)
    frame = pd.concat([data, target], axis=1) if as_frame else None
    feature_names = list(data.columns)
    tables: tuple[Any, ...] = (data, target, sensitive_features)
    if not as_frame:
        tables = tuple(_plain_array(table) for table in tables)
    if return_X_y:
        return tables[0], tables[1]
    return Bunch(
        data=tables[0],
        target=tables[1],
        frame=frame,
        sensitive_features=tables[2],
        feature_names=feature_names,
        target_names=target_names,
        DESCR=description,
    )


def _plain_array(table: pd.DataFrame | pd.Series) -> np.ndarray:
    return table.astype(object).to_numpy(dtype=object, na_value=np.nan)
