"""Arrays of labels and groups -> weights of rows: by cells in closed form, or by a critic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize, nnls
from scipy.special import expit

from fairmi.core.information import information
from fairmi.core.membership import Membership, compare

_N_LEVELS = 17
_HIGHEST = np.log(20)  # of a log weight
_HOLD = 0.003  # on the mean square of log weights: of many that serve alike, those near 1
_RIDGE = 1.0  # as in scikit-learn's logistic regression


def cell_weights(
    members: Membership, codes: np.ndarray, n_classes: int, weights: np.ndarray
) -> np.ndarray:
    """Return the weights (n_groups, n_classes) that make expected counts independent."""
    shape = (members.n_groups, n_classes)
    of_members = members.shares * weights[members.rows]
    counts = np.bincount(
        members.groups * n_classes + codes[members.rows], of_members, int(np.prod(shape))
    ).reshape(shape)
    wanted = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    if members.is_certain:
        return np.divide(wanted, counts, out=np.zeros(shape), where=counts > 0)
    shares = features_of(np.zeros((members.n_rows, 0)), members)
    solved = np.zeros(shape)
    for k in range(n_classes):
        rows = codes == k
        together = (shares[rows] * weights[rows, None]).T @ shares[rows]
        solved[:, k] = nnls(together, wanted[:, k])[0]
    return solved


def row_weights(cells: np.ndarray, members: Membership, codes: np.ndarray) -> np.ndarray:
    """Return the weight of each row, 1 where its group is not known."""
    of_members = members.shares * cells[members.groups, codes[members.rows]]
    weights = np.bincount(members.rows, of_members, members.n_rows)
    return np.where(members.known, weights, 1.0)


def features_of(columns: np.ndarray, members: Membership) -> np.ndarray:
    """Return what log weights are linear in, (n, G + p): shares of groups, and columns of X."""
    shares = np.zeros((members.n_rows, members.n_groups))
    shares[members.rows, members.groups] = members.shares
    return np.column_stack([shares, columns])


def log_weights(
    coefficients: np.ndarray, features: np.ndarray, codes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return log weights, (n,), before scaling, and their slopes in the linear form of each row.

    Each label has its own coefficients; what they give is squashed, so that no row rules.
    """
    linear = np.einsum("nj,nj->n", features, coefficients[codes])
    squashed = np.tanh(linear / _HIGHEST)
    return _HIGHEST * squashed, 1 - squashed**2


def learn_coefficients(
    columns: np.ndarray,
    codes: np.ndarray,
    n_classes: int,
    members: Membership,
    given: np.ndarray,
    lam: float,
) -> np.ndarray:
    """Return the coefficients of log weights, (n_classes, G + p), that the critic leaves alone.

    They minimise  loss of the taught scores over all rows  +  λ I(scores; C), by L-BFGS. The
    scores hang on the weights through the end of a training, where the gradient of the weighted
    loss is 0: that of any function of the model's parameters goes back to a row's weight by the
    inverse Hessian (implicit function theorem).
    """
    n = len(codes)
    features, inputs = features_of(columns, members), np.column_stack([columns, np.ones(n)])
    one_hot = np.eye(n_classes)[:, codes]
    targets = one_hot[1:] if n_classes == 2 else one_hot
    shares = given / given.sum()
    compared = compare(
        members,
        given,
        constraint="demographic_parity",
        labels=codes,
        n_labels=n_classes,
        group_weight=None,
    ).scaled()
    models = np.zeros((len(targets), inputs.shape[1]))
    ridge = np.append(np.full(columns.shape[1], _RIDGE), 1e-6)  # the intercept is free

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        logs, slopes = log_weights(flat.reshape(n_classes, -1), features, codes)
        weights = np.exp(logs)
        weights /= shares @ weights
        value, of_weights = _HOLD / 2 * float(shares @ logs**2), np.zeros(n)
        for k, target in enumerate(targets):
            models[k], solve = _taught(inputs, target, n * shares * weights, ridge, models[k])
            scores = inputs @ models[k]
            z, half = np.tanh(scores / 2), (_N_LEVELS - 1) / 2
            leaked, slope = information((z + 1) * half, compared, _N_LEVELS, smoothing=1.0)
            loss = shares @ (np.logaddexp(0, scores) - target * scores)
            # With the ridge, by which weights of 1 are the best where λ is 0.
            value += float(loss + ridge @ models[k] ** 2 / (2 * n)) + lam * leaked
            miss = expit(scores) - target
            of_scores = shares * miss + lam * slope / n * half * (1 - z**2) / 2
            of_model = inputs.T @ of_scores + ridge * models[k] / n
            of_weights -= n * shares * miss * (inputs @ solve(of_model))
        of_logs = weights * (of_weights - shares * (weights @ of_weights)) + _HOLD * shares * logs
        of_linear = (of_logs * slopes)[:, None] * features
        return value, np.stack([of_linear[codes == k].sum(0) for k in range(n_classes)]).ravel()

    start = np.zeros(n_classes * features.shape[1])
    done = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 40})
    return done.x.reshape(n_classes, -1)


def _taught(
    inputs: np.ndarray,
    target: np.ndarray,
    weights: np.ndarray,
    ridge: np.ndarray,
    start: np.ndarray,
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Return a logistic regression's parameters by Newton's method, and the inverse Hessian."""

    def loss(model: np.ndarray) -> float:
        scores = inputs @ model
        return weights @ (np.logaddexp(0, scores) - target * scores) + ridge @ model**2 / 2

    model, reached = start, loss(start)
    for _ in range(50):
        chance = expit(inputs @ model)
        curvature = (inputs * (weights * chance * (1 - chance))[:, None]).T @ inputs
        factor = cho_factor(curvature + np.diag(ridge))
        step = cho_solve(factor, inputs.T @ (weights * (chance - target)) + ridge * model)
        while loss(model - step) > reached and np.abs(step).max() > 1e-7:
            step = step / 2
        model = model - step
        reached = loss(model)
        if np.abs(step).max() < 1e-6:
            break
    return model, lambda right: cho_solve(factor, right)
