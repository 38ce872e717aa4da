"""Adult: who in the 1994 census of the United States earns over 50,000 dollars."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd
from sklearn.utils import Bunch

from fairmi.datasets._loading import bunch_or_pair, open_packed

_COLUMNS = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education_num",
    "marital_status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital_gain",
    "capital_loss",
    "hours_per_week",
    "native_country",
    "income",
)
_SUBSETS = {
    "train": ("adult.data.bz2",),
    "test": ("adult.test.bz2",),
    "all": ("adult.data.bz2", "adult.test.bz2"),
}
_DESCRIPTION = """\
Adult (also 'census income')

Does a person earn more than 50,000 dollars a year? Answers to the census of the United States of
1994, 48,842 rows: the official training part of 32,561 and the official test part of 16,281.

Features: 13, of which 5 integers (age, education_num, capital_gain, capital_loss,
hours_per_week) and 8 categories. 2,399 rows of the training part and 1,221 of the test part miss
workclass, occupation or native_country. The census sampling weight, fnlwgt, is left out.
Target: income, '>50K' (7,841 and 3,846 rows) or '<=50K'.
Sensitive features: sex and race. Both are among the features too.

Citation: B. Becker and R. Kohavi, Adult, UCI Machine Learning Repository, 1996,
https://doi.org/10.24432/C5XW20
Licence: Creative Commons Attribution 4.0 International (CC BY 4.0)
"""


def load_adult(
    *,
    subset: Literal["all", "train", "test"] = "all",
    return_X_y: bool = False,
    as_frame: bool = True,
) -> Bunch | tuple[Any, Any]:
    """Load the Adult data set: income over 50,000 dollars, with sex and race sensitive.

    Parameters
    ----------
    subset : {"all", "train", "test"}, default="all"
        The official training part (32,561 rows), the official test part (16,281 rows), or the
        one after the other.
    return_X_y : bool, default=False
        Return `(data, target)` in place of a Bunch.
    as_frame : bool, default=True
        Give tables as pandas objects, with categorical and integer columns. Otherwise they are
        arrays of objects, and missing values are NaN.

    Returns
    -------
    data : Bunch or tuple of (data, target)
        The Bunch has `data`, a DataFrame of 13 features; `target`, a Series of the categories
        '<=50K' and '>50K'; `frame`, both in one (None where `as_frame` is False);
        `sensitive_features`, a DataFrame of sex and race; `feature_names`; `target_names`, the
        names of the classes; and `DESCR`, which has the licence and the citation.

    Raises
    ------
    ValueError
        If `subset` is none of the three.

    Notes
    -----
    A column has the same categories in every subset. `sex` and `race` are among the features.

    References
    ----------
    B. Becker and R. Kohavi, Adult, UCI Machine Learning Repository, 1996, doi 10.24432/C5XW20,
    CC BY 4.0.

    Examples
    --------
    >>> from fairmi.datasets import load_adult
    >>> adult = load_adult(subset="test")
    >>> adult.data.shape
    (16281, 13)
    >>> adult.sensitive_features["sex"].value_counts().to_dict()
    {'Male': 10860, 'Female': 5421}
    """
    if subset not in _SUBSETS:
        raise ValueError(f"subset must be one of {sorted(_SUBSETS)}, got {subset!r}.")
    parts = {name: _read(name) for name in _SUBSETS["all"]}
    table = _categorical(pd.concat(parts, names=["part"]))
    table = table.loc[list(_SUBSETS[subset])].reset_index(drop=True)
    data = table.drop(columns=["fnlwgt", "income"])
    return bunch_or_pair(
        data,
        table["income"],
        data[["sex", "race"]].copy(),
        description=_DESCRIPTION,
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


def _read(name: str) -> pd.DataFrame:
    with open_packed(name) as file:
        table = pd.read_csv(
            file,
            compression="bz2",
            names=list(_COLUMNS),
            skipinitialspace=True,
            na_values="?",
            keep_default_na=False,
        )
    table["income"] = table["income"].str.rstrip(".")  # the test part ends its labels with one
    return table


def _categorical(table: pd.DataFrame) -> pd.DataFrame:
    text = table.select_dtypes(exclude="number").columns
    return table.astype(dict.fromkeys(text, "category"))
