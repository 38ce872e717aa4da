"""German credit: which clients of a German bank are good risks."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.utils import Bunch

from fairmi.datasets._loading import bunch_or_pair, open_packed

_SYMBOLS: dict[str, dict[str, str]] = {
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
_CREDIT_RISK = {1: "good", 2: "bad"}
_DESCRIPTION = """\
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
    words = {name: symbols for name, symbols in _SYMBOLS.items() if symbols}
    for name, symbols in words.items():
        table[name] = table[name].map(symbols).astype("category")
    table["credit_risk"] = table["credit_risk"].map(_CREDIT_RISK).astype("category")
    data = table.drop(columns="credit_risk")
    return bunch_or_pair(
        data,
        table["credit_risk"],
        pd.DataFrame({"age_over_25": data["age"] > 25}),
        description=_DESCRIPTION,
        return_X_y=return_X_y,
        as_frame=as_frame,
    )
