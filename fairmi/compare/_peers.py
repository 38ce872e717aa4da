"""The methods compared, behind one face: fit, predict, scores, represent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

Settings = Sequence[Mapping[str, Any]]


class Contender:
    """A method as the comparison sees it: an encoder (or none) before a model.

    The plain case: the model never sees the sensitive features `s`, other than as columns of X.
    """

    def __init__(self, model: BaseEstimator, encoder: BaseEstimator | None = None) -> None:
        self.model = model
        self.encoder = encoder

    def fit(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray) -> Self:
        """Fit the encoder and the model on the rows of a training sample."""
        return self.finish(X, y, s, self.share(X, y, s, ()))

    def share(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray, settings: Settings) -> Any:
        """Return what is learned once for all settings of the method, if anything is."""
        return None

    def finish(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray, shared: Any) -> Self:
        """Learn the rest of `fit`."""
        if self.encoder is not None:
            self.encoder.fit(X, y)
        self._fit_model(self._encode(X), y, s)
        return self

    def predict(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        """Labels, 0 or 1; only some methods look at `s`."""
        return np.asarray(self.model.predict(self._encode(X))).ravel().astype(int)

    def scores(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray | None:
        """Scores of class 1 that rank the rows, or None where the method has none."""
        return self.model.predict_proba(self._encode(X))[:, 1]

    def represent(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray | None:
        """The representation that predictions are made from, or None where there is none."""
        return None

    def _fit_model(self, X: Any, y: np.ndarray, s: np.ndarray) -> None:
        self.model.fit(X, y)

    def _encode(self, X: pd.DataFrame) -> Any:
        return X if self.encoder is None else np.asarray(self.encoder.transform(X))


class WithSensitive(Contender):
    """A model that takes `sensitive_features` at fit: fairlearn's GridSearch."""

    def _fit_model(self, X: Any, y: np.ndarray, s: np.ndarray) -> None:
        self.model.fit(X, y, sensitive_features=s)


class Debiased(WithSensitive):
    """fairmi's own estimator: its representation is what `transform` gives."""

    def represent(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        """Z of the rows of X."""
        return np.asarray(self.model.transform(X))


class OnPath(Debiased):
    """fairmi's estimators that train many λ at once."""

    def share(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray, settings: Settings) -> Any:
        """Return the models by λ."""
        lams = [setting["lam"] for setting in settings] or [self.model.lam]
        models = self.model.fit_path(X, y, lams=lams, sensitive_features=s)
        return dict(zip(lams, models, strict=True))

    def finish(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray, shared: Any) -> Self:
        """Take the model of the own λ."""
        self.model = shared[self.model.lam]
        return self


class Randomised(WithSensitive):
    """fairlearn's ExponentiatedGradient: a lottery over classifiers, drawn anew for each row."""

    def predict(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        """Labels of one draw of the lottery, from a fixed seed."""
        return np.asarray(self.model.predict(self._encode(X), random_state=0)).ravel().astype(int)

    def scores(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        """The classifiers' probabilities of class 1, averaged with the lottery's weights."""
        encoded = self._encode(X)
        lottery = zip(self.model.weights_, self.model.predictors_, strict=True)
        return sum(w * m.predict_proba(encoded)[:, 1] for w, m in lottery if w > 0)


class Adversarial(WithSensitive):
    """fairlearn's AdversarialFairnessClassifier, which has no predict_proba."""

    def scores(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        """The output of the trained predictor network."""
        return np.asarray(self.model.backendEngine_.evaluate(self._encode(X))).ravel()


class Decorrelated(Contender):
    """fairlearn's CorrelationRemover before a model; it reads `s` as further columns of X."""

    def __init__(
        self, remover: BaseEstimator, model: BaseEstimator, encoder: BaseEstimator
    ) -> None:
        super().__init__(model, encoder)
        self.remover = remover

    def predict(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        """Labels of the decorrelated rows."""
        return self.model.predict(self.represent(X, s))

    def scores(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        """Probabilities of class 1 of the decorrelated rows."""
        return self.model.predict_proba(self.represent(X, s))[:, 1]

    def represent(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        """The decorrelated rows."""
        return self.remover.transform(self._with_indicators(self._encode(X), s))

    def _fit_model(self, X: Any, y: np.ndarray, s: np.ndarray) -> None:
        self._groups = np.unique(s)[1:]
        table = self._with_indicators(X, s)
        self.remover.set_params(sensitive_feature_ids=list(range(X.shape[1], table.shape[1])))
        self.model.fit(self.remover.fit_transform(table), y)

    def _with_indicators(self, X: np.ndarray, s: np.ndarray) -> np.ndarray:
        return np.column_stack([X, s[:, None] == self._groups])
