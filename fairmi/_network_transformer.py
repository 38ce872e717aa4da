"""MIDebiasedTransformer: networks that represent X without y, in one training or part by part."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import check_array
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from fairmi._data.fit_input import Earlier, FitInput
from fairmi._data.saved_format import check_told_back
from fairmi._network_base import DebiasedNetworks
from fairmi._sklearn_compat import POSITIVE, StrOptions, parameter, with_parameters
from fairmi._typing import TableLike, UserRows
from fairmi.core.task import Nothing
from fairmi.exceptions import CollapseWarning, Note
from fairmi.preprocessing import TableEncoder
from fairmi.preprocessing.table_encoder import Layout

if TYPE_CHECKING:  # what trains loads torch, which a server that only predicts does without
    import torch

    from fairmi.networks.model import Trunk
    from fairmi.networks.rows import TrainingRows

# Rows that say how numbers are spread, of those that aren't columns of a table.
_MAX_ROWS = 2_000
# Rows whose two views must differ.
_VIEWED_ROWS = 16


def _has_decoder(model: MIDebiasedTransformer) -> bool:
    if model.objective == "reconstruction":
        return True
    raise AttributeError(
        f"objective={model.objective!r} learns no way back from Z; "
        'objective="reconstruction" does.'
    )


@with_parameters
class MIDebiasedTransformer(DebiasedNetworks):
    """A representation of X that tells little of the sensitive features, learned without y.

    A step before any model, in a Pipeline or alone. An encoder maps X to Z, units that are each
    rounded to few levels; encoder and decoder minimise

        share of X that Z doesn't tell back  +  lam * I(Z; C) (nats)

    The decoder is given C beside Z in training, so that Z need not tell it to serve. What is told
    back is the mean over columns: of a number the squared error in units of its variance, of
    categories the log loss by their entropy. Sensitive features are needed at fit alone.

    Where y is known at fit, `MIDebiasedClassifier` and `MIDebiasedRegressor` keep much more of
    what a prediction needs, and their `transform` is such a step too: without y nobody knows which
    columns matter. Z of many units and levels tells more, of C too; see what is left by
    `fairmi.metrics.leakage_report(model.transform(X), s)`, on rows that the fit did not see.

    Parameters
    ----------
    lam : float or dict, default=1.0
        Weight λ >= 0 of the penalty. 0 trains without it. A dict has one for each sensitive
        feature, by name of column; otherwise several are penalised jointly.
    objective : {"reconstruction", "contrastive"}, default="reconstruction"
        "reconstruction" tells columns, or the values of an array, back. "contrastive" finds a
        row's second view among rows of the same C [2]_, so that C is of no use. Of a table the
        second view has a third of its columns from another row; rows of any shape need an
        `encoder` that draws each view anew in training, by augmentations or dropout.
    penalty, sensitive_columns, drop_sensitive, missing_sensitive, sensitive_kinds, \
group_weight, weighted
        As in `MIDebiasedClassifier`. Groups are compared over all rows: without y there are no
        classes to compare them in.
    encoder, hidden_layer_sizes
        As in `MIDebiasedClassifier`; the decoder has hidden layers of the same sizes.
    n_components : int or "auto", default="auto"
        Units of Z; "auto" gives 8.
    n_levels : int, None or "auto", default="auto"
        Values that each unit can take; "auto" gives 9. None opens the channel: then Z may tell
        what no critic of the training saw.
    dither : bool, default=True
        Whether units are moved by up to half a step before they are rounded, by noise that a row's
        own values set: a row has the same Z always, and one that differs in anything another. So Z
        tells no more than in training, where the noise is drawn; rounding alone shows where values
        that many rows share have landed.
    n_critic_steps : int, default=10
        Steps of the critic on each batch. It reads Z and which level each unit has; of few steps
        it is behind, and Z tells more than it claims.
    max_iter, batch_size, learning_rate, weight_decay, dropout, warm_start, callbacks, device, \
verbose, random_state
        As in `MIDebiasedClassifier`.

    Attributes
    ----------
    n_features_in_, feature_names_in_, sensitive_values_, sensitive_kinds_, n_iter_, stopped_, \
warnings_, encoder_, trunk_, item_shape_, t_, sensitive_counts_, architecture_, parameters_
        As in `MIDebiasedClassifier`.
    history_ : list of dict
        As in `MIDebiasedClassifier`; the task loss is the share that is not told back, or how hard
        views are to find, 1 where they all look alike.
    units_ : dict of ndarray
        `centre` and `scale` of the numbers that are told back.

    See Also
    --------
    fairmi.MIDebiasedClassifier : The same for a known y.
    fairlearn.preprocessing.CorrelationRemover : Takes away what is linear alone.
    fairmi.path.fairness_path : The models of many λ in one training.

    References
    ----------
    .. [1] R. Ragonesi, R. Volpi, J. Cavazza, V. Murino, "Learning Unbiased Representations via
       Mutual Information Backpropagation", CVPR Workshops 2021, arXiv 2003.06430; with a decoder
       that is given C, D. Madras, E. Creager, T. Pitassi, R. Zemel, "Learning Adversarially Fair
       and Transferable Representations", ICML 2018, arXiv 1802.06309.
    .. [2] M. Ma, Y.-H. H. Tsai, P. P. Liang et al., "Conditional Contrastive Learning for
       Improving Fairness in Self-Supervised Learning", 2021, arXiv 2106.02866.

    Examples
    --------
    >>> from fairmi import MIDebiasedTransformer
    >>> from fairmi.datasets import load_german
    >>> X, y = load_german(return_X_y=True)
    >>> model = MIDebiasedTransformer(lam=2.0, n_components=4, max_iter=20, random_state=0)
    >>> Z = model.fit(X, sensitive_features=X["age"] > 25).transform(X)
    >>> Z.shape
    (1000, 4)
    >>> model.inverse_transform(Z).columns.equals(X.columns)
    True
    """

    # No parameters here: without y there are no classes, and the mean of several Z is none.
    constraint: ClassVar[str] = "demographic_parity"  # type: ignore[misc]
    n_estimators: ClassVar[int] = 1  # type: ignore[misc]
    _reads: ClassVar = "nothing"
    objective: str = parameter(
        StrOptions({"reconstruction", "contrastive"}), default="reconstruction"
    )
    n_critic_steps: int = parameter(POSITIVE, default=10)
    dither: bool = parameter("boolean", default=True)

    units_: dict[str, np.ndarray] = field(init=False)

    def fit_transform(
        self, X: TableLike, y: object = None, **fit_params: Any
    ) -> np.ndarray | pd.DataFrame:
        """Fit to X, and return its Z, (n_rows, n_components).

        Parameters
        ----------
        X : as in `fit`
        y : not read
            What a Pipeline gives to all of its steps.
        **fit_params
            `sensitive_features` and `sample_weight`, as in `fit`.
        """
        return self.fit(X, **fit_params).transform(X)

    @available_if(_has_decoder)
    def inverse_transform(self, X: ArrayLike) -> Any:
        """Return the columns that Z tells back, as of no group more than of another.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_components)
            Z, as `transform` returns it.

        Returns
        -------
        DataFrame or ndarray of shape (n_rows, n_features)
            Numbers between those that fit saw, the likeliest category, missing where that is the
            likeliest; a frame where fit saw names. Columns that fit dropped are left out. Of rows
            of any shape, values of their shape.

        Raises
        ------
        ValueError
            If Z has another number of columns than `transform` returns, or is not finite.
        """
        check_is_fitted(self, "sensitive_kinds_")
        Z = check_array(X, dtype=np.float64)
        if Z.shape[1] != self._n_features_out:
            raise ValueError(
                f"Z has {Z.shape[1]} columns, but transform returns {self._n_features_out}; give "
                "what it returns."
            )
        scores = self._networks().mean_scores(Z[None])
        centre, scale = self.units_["centre"], self.units_["scale"]
        numbers = centre + scale * scores[:, : len(centre)]
        if self.encoder_ is None:
            return numbers.reshape(len(Z), *self.item_shape_)
        if self.encoder_.layout_ is None:
            return numbers[:, : self.encoder_.n_columns] / self.encoder_.scale_
        columns = self.encoder_.decode(_positions(self.encoder_, numbers, scores))
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            return np.column_stack(columns)
        return pd.DataFrame(dict(zip(names[self._kept], columns, strict=True)))

    def _read(self, rows: UserRows, earlier: Earlier | None = None, **of_part: Any) -> FitInput:
        if rows[1] is not None:
            raise ValueError(
                "y is given, and MIDebiasedTransformer learns without it; to keep what y needs "
                "take MIDebiasedClassifier, or MIDebiasedRegressor for numbers, whose transform "
                "is such a representation too. Before another model in a Pipeline y may be given: "
                "only fit_transform is called there."
            )
        return super()._read(rows, earlier, **of_part)

    def _table_encoder(self, inputs: FitInput) -> TableEncoder:
        return TableEncoder().fit(inputs.features, sample_weight=inputs.task_weights)

    def _task(self, rows: FitInput, *, goes_on: bool) -> Nothing:
        conditioned = self.objective == "reconstruction"
        widths = [m.n_groups if m.values is None else m.values.shape[1] for m in rows.members]
        task = told_back(
            rows, self.objective, dither=self.dither, n_conditions=sum(widths) * conditioned
        )
        if not goes_on:
            return task
        return replace(task, centre=self.units_["centre"], scale=self.units_["scale"])

    def _trunk(self, rows: FitInput, device: torch.device, *, goes_on: bool) -> Trunk | None:
        trunk = super()._trunk(rows, device, goes_on=goes_on)
        if trunk is None or self.objective == "reconstruction" or rows.layout is not None:
            return trunk
        from fairmi.networks.losses import check_views
        from fairmi.networks.rows import first_rows

        check_views(trunk, first_rows(rows, _VIEWED_ROWS))
        return trunk

    def _trivial(self, scores: np.ndarray, batch: TrainingRows, n_steps: int) -> list[Note]:
        if len(scores) < 2 or np.ptp(scores, axis=0).any():
            return []
        message = "The fit collapsed: Z is the same for every training row"
        return [(CollapseWarning, f"{message}; lower lam={self.lam!r}, or raise max_iter.")]

    def _n_scores(self) -> int | None:
        """Return the scores of the decoder of a saved model, whose units must fit."""
        encoder = vars(self).get("encoder_")
        layout = None if encoder is None else encoder.layout_
        n_numbers = None if layout is None else len(np.unique(_ramps(layout)[1]))
        check_told_back(vars(self), n_numbers)
        if self.objective == "contrastive":
            return None
        n_told = len(self.units_["centre"])
        return n_told if layout is None else n_told + layout.width - layout.n_ramped


# Saved models name the public place of a class, which stays where its file moves.
MIDebiasedTransformer.__module__ = "fairmi"


def told_back(rows: FitInput, objective: str, *, dither: bool, n_conditions: int) -> Nothing:
    """Return what Z is to tell back of encoded rows, in units that these set."""
    if rows.layout is None:
        return _values_told_back(rows, objective, dither, n_conditions)
    layout = rows.layout
    ramps, of_column = _ramps(layout)
    told = np.unique(of_column)
    centre, scale = np.zeros(len(told)), np.ones(len(told))
    numbers = np.zeros((layout.width, len(told)), dtype=np.float32)
    for k, j in enumerate(told):
        mine = ramps[of_column == j]
        centre[k] = layout.mean[mine].sum() / len(mine)
        if rows.task_weights.any():
            # What is missing is the mean, as in the encoded columns.
            off = np.nan_to_num(rows.features[:, j].astype(np.float64) / len(mine) - centre[k])
            spread = np.sqrt(np.average(off**2, weights=rows.task_weights))
            # In float32, so that the order in which rows are summed leaves no trace.
            scale[k] = np.float32(spread) or 1.0
        numbers[mine, k] = 1 / (len(mine) * scale[k])
    return Nothing(
        objective,
        dither,
        n_conditions,
        centre,
        scale,
        numbers,
        layout.mean,
        _indicators(layout),
        np.arange(layout.n_ramped + layout.n_indicators, layout.width),
        layout.source,
    )


def _values_told_back(rows: FitInput, objective: str, dither: bool, n_conditions: int) -> Nothing:
    """Return the same of rows whose values are told back as they are, in one unit for all."""
    from fairmi.networks.model import as_input
    from fairmi.networks.rows import first_rows

    values = as_input(first_rows(rows, _MAX_ROWS)).flatten(1).double().numpy()
    centre, spread = values.mean(0), np.sqrt(values.var(0).mean()) or 1.0
    is_table = not hasattr(rows.features, "rows")
    source = np.arange(len(centre) if is_table else 0)
    scale = np.full(len(centre), spread)
    return Nothing(objective, dither, n_conditions, centre, scale, source=source)


def _ramps(layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Return the encoded columns that rise between two knots, and the column of X of each."""
    ramps = np.flatnonzero(layout.base == 0)
    return ramps, layout.source[ramps]


def _indicators(layout: Layout) -> tuple[np.ndarray, ...]:
    """Return the indicators of each column of categories."""
    every = np.arange(layout.n_ramped, layout.n_ramped + layout.n_indicators)
    source = layout.source[every]
    return tuple(every[source == j] for j in np.unique(source))


def _positions(encoder: TableEncoder, numbers: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return where values lie in the columns of a table, of what the decoder tells of them."""
    layout = encoder.layout_
    assert layout is not None
    assert encoder.columns_ is not None
    positions = np.zeros((len(scores), len(encoder.columns_)))
    _, of_column = _ramps(layout)
    for k, j in enumerate(np.unique(of_column)):
        n_intervals = np.count_nonzero(of_column == j)
        positions[:, j] = np.clip(numbers[:, k], 0, 1) * n_intervals
    start = numbers.shape[1]
    for columns in _indicators(layout):
        likeliest = scores[:, start : start + len(columns)].argmax(axis=1)
        positions[:, layout.source[columns[0]]] = layout.offset[columns[likeliest]]
        start += len(columns)
    for k, j in enumerate(layout.source[layout.n_ramped + layout.n_indicators :]):
        positions[scores[:, start + k] > 0, j] = np.nan
    return positions
