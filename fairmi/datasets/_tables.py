"""Adult and German credit: packed files, and tables in scikit-learn's Bunch."""

from __future__ import annotations

from importlib.resources import files
from typing import IO, Any, Literal

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

# In the file's order, the last one being the target.
_ADULT_COLUMNS = [
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
]
_SUBSETS = {
    "train": ("adult.data.bz2",),
    "test": ("adult.test.bz2",),
    "all": ("adult.data.bz2", "adult.test.bz2"),
}
_ADULT = """\
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
    parts = {name: _read_adult(name) for name in _SUBSETS["all"]}
    table = pd.concat(parts, names=["part"])
    text = table.select_dtypes(exclude="number").columns
    table = table.astype(dict.fromkeys(text, "category"))
    table = table.loc[list(_SUBSETS[subset])].reset_index(drop=True)
    data = table.drop(columns=["fnlwgt", "income"])
    return bunch_or_pair(
        data,
        table["income"],
        data[["sex", "race"]].copy(),
        description=_ADULT,
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


def _read_adult(name: str) -> pd.DataFrame:
    with open_packed(name) as file:
        table = pd.read_csv(
            file,
            compression="bz2",
            names=_ADULT_COLUMNS,
            skipinitialspace=True,
            na_values="?",
            keep_default_na=False,
        )
    table["income"] = table["income"].str.rstrip(".")  # the test part ends its labels with one
    return table


# The words of each of German credit's columns for UCI's symbols; none of numbers.
_SYMBOLS: dict[str, dict[Any, str]] = {
    "checking_status": {
        "A11": "below 0 DM",
        "A12": "0 to 199 DM",
        "A13": "200 DM or more",
        "A14": "no account",
    },
    "duration": {},
    "credit_history": {
        "A30": "no credit yet",
        "A31": "all paid back here",
        "A32": "paid back so far",
        "A33": "past delays",
        "A34": "critical or elsewhere",
    },
    "purpose": {
        "A40": "new car",
        "A41": "used car",
        "A42": "furniture",
        "A43": "radio or television",
        "A44": "appliances",
        "A45": "repairs",
        "A46": "education",
        "A47": "holiday",
        "A48": "retraining",
        "A49": "business",
        "A410": "other",
    },
    "credit_amount": {},
    "savings": {
        "A61": "below 100 DM",
        "A62": "100 to 499 DM",
        "A63": "500 to 999 DM",
        "A64": "1000 DM or more",
        "A65": "unknown or none",
    },
    "employment_since": {
        "A71": "unemployed",
        "A72": "under 1 year",
        "A73": "1 to 3 years",
        "A74": "4 to 6 years",
        "A75": "7 years or more",
    },
    "instalment_rate": {},
    "personal_status_and_sex": {
        "A91": "male, divorced",
        "A92": "female, not single",
        "A93": "male, single",
        "A94": "male, married or widowed",
        "A95": "female, single",
    },
    "other_debtors": {"A101": "none", "A102": "co-applicant", "A103": "guarantor"},
    "residence_since": {},
    "property": {
        "A121": "real estate",
        "A122": "savings contract or life insurance",
        "A123": "car or other",
        "A124": "unknown or none",
    },
    "age": {},
    "other_instalment_plans": {"A141": "bank", "A142": "shops", "A143": "none"},
    "housing": {"A151": "rented", "A152": "owned", "A153": "free of charge"},
    "existing_credits": {},
    "job": {
        "A171": "unemployed or unskilled, non-resident",
        "A172": "unskilled, resident",
        "A173": "skilled",
        "A174": "manager, self-employed or highly qualified",
    },
    "people_liable": {},
    "telephone": {"A191": "no", "A192": "yes"},
    "foreign_worker": {"A201": "yes", "A202": "no"},
}
_GERMAN = """\
German credit (also 'Statlog')

Is a client of a German bank a good or a bad credit risk? 1,000 rows.

Features: 20, of which 7 integers and 13 categories; UCI's symbols, such as A11, are put in words.
Amounts are in German marks (DM). No value is missing.
Target: credit_risk, 'good' (700 rows) or 'bad' (300 rows).
Sensitive features: age_over_25, whether the client is over 25 years old (810 rows are). Age
itself is among the features. personal_status_and_sex stays a feature but is not offered as a
sensitive one: it is known to be an unreliable record of sex (U. Groemping, South German Credit
Data, 2019).

Citation: H. Hofmann, Statlog (German Credit Data), UCI Machine Learning Repository, 1994,
https://doi.org/10.24432/C5NC77
Licence: Creative Commons Attribution 4.0 International (CC BY 4.0)
"""


def load_german(*, return_X_y: bool = False, as_frame: bool = True) -> Bunch | tuple[Any, Any]:
    """Load the German credit data set: good or bad risks, with age over 25 years sensitive.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return `(data, target)` in place of a Bunch.
    as_frame : bool, default=True
        Give tables as pandas objects, with categorical and integer columns. Otherwise they are
        arrays of objects.

    Returns
    -------
    data : Bunch or tuple of (data, target)
        The Bunch has `data`, a DataFrame of 1,000 rows and 20 features; `target`, a Series of the
        categories 'bad' and 'good'; `frame`, both in one (None where `as_frame` is False);
        `sensitive_features`, a DataFrame of one boolean column, age_over_25; `feature_names`;
        `target_names`, the names of the classes; and `DESCR`, which has the licence and the
        citation.

    References
    ----------
    H. Hofmann, Statlog (German Credit Data), UCI Machine Learning Repository, 1994,
    doi 10.24432/C5NC77, CC BY 4.0.

    Examples
    --------
    >>> from fairmi.datasets import load_german
    >>> german = load_german()
    >>> german.target.value_counts().to_dict()
    {'good': 700, 'bad': 300}
    >>> german.data["housing"].cat.categories.to_list()
    ['free of charge', 'owned', 'rented']
    """
    with open_packed("german.data.bz2") as file:
        table = pd.read_csv(file, compression="bz2", sep=" ", names=[*_SYMBOLS, "credit_risk"])
    words = _SYMBOLS | {"credit_risk": {1: "good", 2: "bad"}}
    for name, symbols in words.items():
        if symbols:
            table[name] = table[name].map(symbols).astype("category")
    data = table.drop(columns="credit_risk")
    return bunch_or_pair(
        data,
        table["credit_risk"],
        pd.DataFrame({"age_over_25": data["age"] > 25}),
        description=_GERMAN,
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


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
