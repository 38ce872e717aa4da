"""What networks learn without y, beside loops over rows and columns."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from fairmi.core.task import Nothing
from fairmi.dependence import SensitiveBatch
from fairmi.networks.losses import Objective, alikeness, conditions_of
from fairmi.networks.rows import TrainingRows

N = 8
RANDOM = np.random.default_rng(0)
# The first row is in two groups by probability, the third in none, and the last alone in its own.
ROWS, CODES = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7]), np.array([0, 1, 1, 0, 0, 1, 0, 1, 2])
WEIGHTS = np.array([0.6, 0.2, 1.0, 0.0, 2.0, 1.0, 0.5, 1.0, 1.0])
VALUES = RANDOM.normal(size=(N, 2))


def sensitive():
    codes = torch.tensor(CODES)
    groups = SensitiveBatch.of_groups(codes, n_groups=3)
    weights = torch.tensor(WEIGHTS, dtype=torch.float32)[None]
    groups = replace(groups, weights=weights, rows=torch.tensor(ROWS))
    return groups, SensitiveBatch.of_values(torch.tensor(VALUES, dtype=torch.float32))


def shares_of_groups():
    shares = np.zeros((N, 3))
    for row, code, weight in zip(ROWS, CODES, WEIGHTS, strict=True):
        shares[row, code] += weight / max(WEIGHTS[row == ROWS].sum(), 1e-9)
    return shares


def slow_alikeness(of_values=True):
    shares, alike = shares_of_groups(), np.empty((N, N))
    for i in range(N):
        for j in range(N):
            alike[i, j] = shares[i] @ shares[j]
            if of_values:
                alike[i, j] *= np.exp(-((VALUES[i] - VALUES[j]) ** 2).sum() / 2)
    return alike


def objective(name="contrastive", **columns):
    task = Nothing(name, False, 0, np.zeros(0), np.ones(0))
    return Objective(replace(task, **columns), torch.device("cpu"), torch.Generator())


def batch_of(x, of):
    return TrainingRows(torch.as_tensor(x), torch.zeros(N), torch.ones(1, N), of)


def test_what_is_given_of_c_is_by_how_much_a_row_is_in_each_group():
    shares = shares_of_groups()
    centred = shares - shares.sum(1, keepdims=True) / 3
    given = conditions_of(sensitive(), N)
    np.testing.assert_allclose(given, np.column_stack([centred, VALUES]), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(alikeness(sensitive(), N), slow_alikeness(), rtol=1e-5)


@pytest.mark.parametrize("of_values", [False, True])
def test_a_view_is_sought_among_rows_of_the_same_c(of_values):
    """A share of the loss of views that all look alike; of a row that is alone, nothing."""
    of = sensitive() if of_values else sensitive()[:1]
    views = RANDOM.normal(size=(2, 2, N, 3))
    losses = objective().of_views(*torch.tensor(views).float(), batch_of(np.zeros((N, 1)), of))
    units = views / np.linalg.norm(views, axis=-1, keepdims=True)
    alike = slow_alikeness(of_values)
    np.fill_diagonal(alike, 1)
    for m in range(2):
        for i in range(N):
            odds = [alike[i, j] * np.exp(units[0, m, i] @ units[1, m, j] / 0.2) for j in range(N)]
            guess = np.log(alike[i].sum())
            expected = np.log(sum(odds) / odds[i]) / guess if guess > 1e-9 else 0.0
            assert losses[m, i] == pytest.approx(expected, rel=1e-3), (m, i)
    assert (losses[:, 7] == 0).all()


def test_columns_count_by_what_the_best_constant_loses():
    """Two numbers of three columns, a category of three and one that never varies, three gaps."""
    mean = np.array([0, 0, 0, 0.5, 0.3, 0.2, 1.0, 0.0, 0.4, 0.1, 0.0005])
    numbers = np.zeros((11, 2))
    numbers[:3] = RANDOM.normal(size=(3, 2))
    columns = {"numbers": numbers, "mean": mean, "gaps": np.array([8, 9, 10])}
    columns |= {"centre": np.zeros(2), "scale": np.ones(2)}
    of = objective(**columns, categories=(np.array([3, 4, 5]), np.array([6, 7])))
    x = RANDOM.normal(size=(N, 11))
    for cells in ([3, 4, 5], [6, 7]):
        x[:, cells] = np.eye(len(cells))[RANDOM.integers(len(cells), size=N)]
    x[:, 8:] = RANDOM.integers(2, size=(N, 3))
    scores = RANDOM.normal(size=(2, N, 10))
    told = of.of_columns(torch.tensor(scores).float(), torch.tensor(x - mean).float())

    def entropy(shares):
        return max(-sum(p * np.log(p) for p in shares if p > 0), 1e-2)

    for m, i in np.ndindex(2, N):
        row, given = x[i], scores[m, i]
        total = ((given[:2] - row[:3] @ numbers[:3]) ** 2).sum()
        total -= log_softmax(given[2:5]) @ row[3:6] / entropy(mean[3:6])
        total -= log_softmax(given[5:7]) @ row[6:8] / entropy(mean[6:8])
        for score, gap, share in zip(given[7:], row[8:], mean[8:], strict=True):
            of_gap = np.log1p(np.exp(-score if gap else score))
            total += of_gap / entropy([share, 1 - share])
        assert told[m, i] == pytest.approx(total / 7, rel=1e-4)


def test_values_without_columns_count_in_units_of_their_own():
    centre, scale = RANDOM.normal(size=6), RANDOM.uniform(0.5, 2, size=6)
    of = objective(centre=centre, scale=scale)
    x, scores = RANDOM.normal(size=(N, 2, 3)), RANDOM.normal(size=(2, N, 6))
    expected = ((scores - (x.reshape(N, 6) - centre) / scale) ** 2).mean(2)
    told = of.of_columns(torch.tensor(scores).float(), torch.tensor(x).float())
    np.testing.assert_allclose(told, expected, rtol=1e-4)


def test_the_other_view_has_three_tenths_of_its_columns_of_another_row():
    n, source = 4_000, np.array([0, 0, 1, 2])
    x = torch.arange(n, dtype=torch.float32)[:, None].expand(n, 4)  # each cell says whose it is
    view = objective(source=source).other_view(x)
    moved = (view != x).numpy()
    assert (moved[:, 0] == moved[:, 1]).all()
    assert moved[:, 1:].mean(0) == pytest.approx([0.3] * 3, abs=0.03)
    assert (moved[:, 1] & moved[:, 2]).mean() == pytest.approx(0.09, abs=0.02)
    for row in range(0, n, 100):
        assert len({*view[row].tolist(), float(row)}) <= 2
    assert objective().other_view(x) is x


def test_decoders_read_c_and_views_pass_the_channel():
    of, x = sensitive(), torch.tensor(RANDOM.normal(size=(N, 7))).float()
    z = torch.tensor(RANDOM.normal(size=(2, N, 2))).float()
    networks = SimpleNamespace(
        head=lambda units: units * 2,
        bounded=lambda rows: rows[None].tanh().expand(2, -1, -1),
        channel=lambda units, width: units[..., :2] + width,
    )
    told = objective("reconstruction", centre=np.zeros(7), scale=np.ones(7))
    read = torch.cat([z, conditions_of(of, N).expand(2, -1, -1)], dim=2)
    losses = told.losses(networks, z, batch_of(x, of), 0.3)
    torch.testing.assert_close(losses, told.of_columns(2 * read, x))
    sought = objective()
    losses = sought.losses(networks, z, batch_of(x, of), 0.3)
    other = x.tanh()[None, :, :2].expand(2, -1, -1) + 0.3
    torch.testing.assert_close(losses, sought.of_views(2 * z, 2 * other, batch_of(x, of)))
