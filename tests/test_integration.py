"""Packages that fairmi is used with: skipped where the extra `integration` is not installed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fairmi import MIDebiasedClassifier
from fairmi.audit.saved import SKOPS_TRUSTED_TYPES

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # those of other packages are not ours to hold
]

N = 120
RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {"pay": RANDOM.normal(size=N), "age": RANDOM.normal(size=N), "job": list("pqr") * (N // 3)}
)
S = np.array(list("ab") * (N // 2))
Y = (FRAME.pay + RANDOM.normal(size=N) / 3 > 0.5).astype(int).to_numpy()


def fit(X, y, s, **parameters):
    model = MIDebiasedClassifier(**({"max_iter": 20, "random_state": 0} | parameters))
    return model.fit(X, y, sensitive_features=s)


def test_shap_explains_mixed_columns():
    shap = pytest.importorskip("shap")
    model = fit(FRAME, Y, S, lam=0.1)

    def positive(rows):
        return model.predict_proba(rows)[:, 1]

    explainer = shap.KernelExplainer(positive, FRAME.iloc[:10])
    values = explainer.shap_values(FRAME.iloc[:3], nsamples=50, silent=True)
    expected = positive(FRAME.iloc[:3]) - positive(FRAME.iloc[:10]).mean()
    np.testing.assert_allclose(values.sum(axis=1), expected, atol=1e-6)


def test_imbalanced_learn_resamples_rows_with_their_groups():
    samplers = pytest.importorskip("imblearn.over_sampling")
    X, y = samplers.RandomOverSampler(random_state=0).fit_resample(FRAME.assign(sex=S), Y)
    model = MIDebiasedClassifier(max_iter=20, sensitive_columns="sex", random_state=0).fit(X, y)
    assert model.score(X, y) > 0.6


def test_mlflow_saves_by_skops(tmp_path):
    mlflow = pytest.importorskip("mlflow.sklearn")
    model = fit(FRAME, Y, S)
    mlflow.save_model(
        model,
        tmp_path / "model",
        serialization_format="skops",
        skops_trusted_types=list(SKOPS_TRUSTED_TYPES),
    )
    back = mlflow.load_model(str(tmp_path / "model"))
    np.testing.assert_array_equal(back.predict_proba(FRAME), model.predict_proba(FRAME))


def test_optuna_searches_lambda():
    optuna = pytest.importorskip("optuna")

    def objective(trial):
        lam = trial.suggest_float("lam", 0.01, 10, log=True)
        return fit(FRAME, Y, S, lam=lam, max_iter=2).score(FRAME, Y)

    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0)
    )
    study.optimize(objective, n_trials=2)
    assert 0.01 <= study.best_params["lam"] <= 10
