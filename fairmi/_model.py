"""What a fitted classifier is: inference from its encoding and weights, and its state."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from fairmi._build import inference_networks, representation, scores_of
from fairmi._design import Design
from fairmi._encoding import TableEncoder
from fairmi._inputs import check_table
from fairmi._networks import Networks
from fairmi._sensitive_columns import split_columns

_ROWS_AT_ONCE = 65_536  # of a pass at inference


class FittedModel(
    ClassNamePrefixFeaturesOutMixin, ClassifierMixin, TransformerMixin, BaseEstimator
):
    """Predictions from the very Z that `transform` returns, once a subclass has learned."""

    sensitive_columns: Any
    drop_sensitive: bool
    classes_: np.ndarray
    encoder_: TableEncoder

    def predict(self, X: Any) -> np.ndarray:
        """Return the class of each row, (n_rows,)."""
        scores = self.decision_function(X)
        codes = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[codes]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, (n_rows, n_classes)."""
        scores = torch.as_tensor(self.decision_function(X))
        if scores.dim() == 1:
            scores = torch.stack([torch.zeros_like(scores), scores], dim=1)
        return torch.softmax(scores, dim=1).numpy()

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the head's scores of Z: log odds (n_rows,) for two classes, else one a class."""
        networks = self._networks()
        with torch.no_grad():
            scores = scores_of(networks, torch.as_tensor(self._represent(networks, X))).numpy()
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def transform(self, X: Any) -> np.ndarray:
        """Return Z, (n_rows, n_components) float64, from which predictions are made.

        Its values lie on a grid in [-1, 1], and a row has the same Z alone and among others. With
        `schedule="paper"` they are the encoder's output as it is. Of several networks
        (`n_estimators`) Z is the mean of their scores: one column for two classes, else one for
        each class.
        """
        return self._represent(self._networks(), X)

    def _store(self, design: Design, networks: Networks, models: slice) -> None:
        self.architecture_ = design.architecture
        self.parameters_ = {
            name: value[models].cpu().numpy().copy()
            for name, value in networks.state_dict().items()
        }

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the critic and the optimisers of a stream; add the version."""
        state = {k: v for k, v in super().__getstate__().items() if k != "_stream"}
        return state | {"_fairmi_version": version("fairmi")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load a model of this or an older version; say so of a newer one.

        Raises
        ------
        ValueError
            If the model was saved by a newer minor version of fairmi.
        """
        saved = state.pop("_fairmi_version", "0.1")
        if _minor(saved) > _minor(version("fairmi")):
            raise ValueError(
                f"This model was saved by fairmi {saved}, and this is {version('fairmi')}, which "
                "can't load it; upgrade fairmi."
            )
        super().__setstate__(state)

    def _networks(self) -> Networks:
        check_is_fitted(self, "parameters_")
        return inference_networks(self.architecture_, self.parameters_)

    def _represent(self, networks: Networks, X: Any) -> np.ndarray:
        X = check_table(self, X, reset=False)
        if self.sensitive_columns is not None and self.drop_sensitive:
            X, _ = split_columns(X, self.sensitive_columns, drop=True)
        x = self.encoder_.places(X)
        parts = []
        with torch.no_grad():
            for start in range(0, x.shape[0], _ROWS_AT_ONCE):
                part = self.encoder_.expand(x[start : start + _ROWS_AT_ONCE])
                part = part.toarray() if hasattr(part, "toarray") else part
                parts.append(representation(networks, torch.as_tensor(part).double()).numpy())
        return np.concatenate(parts)

    @property
    def _n_features_out(self) -> int:
        several = self.architecture_["n_models"] > 1
        return int(self.architecture_["n_outputs" if several else "n_components"])

    def __sklearn_tags__(self) -> Any:
        """Take missing values, categories and sparse tables."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.categorical = True
        return tags


def _minor(version_text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version_text.split(".")[:2])
