"""What is measured of a model on rows that it never saw."""

from __future__ import annotations

from typing import Any

import numpy as np
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import r2_score, roc_auc_score

from fairmi.metrics import certify


def measured(y: np.ndarray, predicted: np.ndarray, c: Any) -> dict[str, float]:
    """Return accuracy, DP and EO difference of predictions 0 or 1."""
    return {
        "accuracy": float((predicted == y).mean()),
        "dp": float(demographic_parity_difference(y, predicted, sensitive_features=c)),
        "eo": float(equalized_odds_difference(y, predicted, sensitive_features=c)),
    }


def probe_auc(z: np.ndarray, c: Any, z_test: np.ndarray, c_test: Any, rounds: int = 100) -> float:
    """Return the ROC AUC of a fresh probe that learns C from Z; of several groups their mean."""
    probe = HistGradientBoostingClassifier(max_iter=rounds, random_state=0).fit(z, c)
    known = np.isin(c_test, probe.classes_)
    told, c_test = probe.predict_proba(z_test[known]), np.asarray(c_test)[known]
    told = told[:, 1] if told.shape[1] == 2 else told
    return float(roc_auc_score(c_test, told, multi_class="ovr", average="macro"))


def probe_r2(z: np.ndarray, c: Any, z_test: np.ndarray, c_test: Any) -> float:
    """Return the R² of a fresh probe that learns a quantity C from Z."""
    probe = HistGradientBoostingRegressor(random_state=0).fit(z, c)
    return float(r2_score(c_test, probe.predict(z_test)))


def certified(z: np.ndarray, c: Any) -> dict[str, float]:
    """Return what can be certified of Z at 95 % confidence by rows that took no part in a fit."""
    certificate = certify(z, c, confidence=0.95)
    return {
        "values": certificate.n_values,
        "distance": certificate.distance,
        "bound": certificate.bound,
    }
