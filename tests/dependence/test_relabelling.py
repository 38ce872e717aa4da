"""Which label or group is called which changes nothing: of the loss exactly, of a fit nearly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import parity_difference
from hypothesis import given, settings
from hypothesis import strategies as st

from fairmi import MIDebiasedClassifier
from fairmi.dependence import SensitiveBatch
from fairmi.dependence.counts import LevelTable, exact_bound

pytestmark = pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")

FEW = settings(max_examples=5, derandomize=True, deadline=None)
MANY = settings(max_examples=500, derandomize=True, deadline=None)


@st.composite
def rows_and_new_codes(draw):
    """Rows of a training, and what each group's code becomes."""
    n_rows, n_groups, n_strata = (draw(st.integers(*ends)) for ends in ((2, 30), (2, 5), (1, 3)))
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    new = random.permutation(n_groups)
    weights = torch.as_tensor(random.exponential(size=(1, n_rows)))
    data = SensitiveBatch(
        groups=torch.as_tensor(random.integers(n_groups, size=n_rows)),
        values=None,
        log_prior=torch.log(torch.as_tensor(random.dirichlet(np.ones(n_groups) * 9, n_strata))),
        strata=torch.as_tensor(random.integers(n_strata, size=n_rows)),
        n_strata=n_strata,
        weights=weights,
    )
    return data, torch.as_tensor(new), torch.as_tensor(random.normal(size=(1, n_rows, n_groups)))


def relabelled(data, new):
    old = torch.argsort(new)
    return replace(data, groups=new[data.groups], log_prior=data.log_prior[:, old])


@pytest.mark.slow
@given(rows_and_new_codes())
@MANY
def test_codes_of_groups_do_not_matter_to_the_bound(drawn):
    """A critic whose outputs change places with the groups gives the same value."""
    data, new, scores = drawn
    other = relabelled(data, new)
    first, second = (
        exact_bound(s, d.groups, d.log_prior, d.strata, d.weights)
        for s, d in ((scores, data), (scores[..., torch.argsort(new)], other))
    )
    torch.testing.assert_close(first, second)


@pytest.mark.slow
@given(rows_and_new_codes())
@MANY
def test_codes_of_groups_do_not_matter_to_the_table_of_levels(drawn):
    data, new, scores = drawn
    position = torch.sigmoid(scores[..., :1]) * 3
    low = position.floor().clamp(max=2).to(torch.int64)
    values = []
    for batch in (data, relabelled(data, new)):
        table = LevelTable(1, 1, 4, batch)
        table.shares = table.shares.double()
        counts = table.count(low, position - low, batch)
        table.update(counts, batch.n_rows, 50_000)
        values.append(table.value(low, position, batch)[0])
    torch.testing.assert_close(*values)


@pytest.mark.slow
@pytest.mark.parametrize("n_groups", [2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_fit_under_a_penalty_with_groups_relabelled(seed, n_groups):
    """The critic's outputs start from other weights; what is learned is the same.

    Training amplifies rounding, so that processors differ too. Measured over 18 draws:
    predictions agree in 0.79 to 0.99 of the rows, gaps differ by 0.10 at most and are at most 0.56
    of that of y.
    """
    random = np.random.default_rng(seed)
    s = random.integers(n_groups, size=1_200)
    x = random.normal(size=(1_200, 2)) + (s == 0)[:, None] * [1.2, 0.0]
    y = (x[:, 0] + x[:, 1] > 0.5).astype(int)
    names = np.array(["m", "x", "f"][:n_groups])
    model = MIDebiasedClassifier(lam=8.0, max_iter=60, random_state=0)
    first, second = (
        model.fit(x, y, sensitive_features=order[s]).predict(x)
        for order in (names, np.roll(names, 1))
    )
    assert (first == second).mean() > 0.7  # measured 0.931 to 0.977
    # measured 0.058 to 0.177 and 0.084 to 0.214
    assert parity_difference(first, s) == pytest.approx(parity_difference(second, s), abs=0.16)
    assert max(
        parity_difference(first, s), parity_difference(second, s)
    ) < 0.75 * parity_difference(y, s)


@pytest.mark.slow
@given(st.integers(0, 9), st.sampled_from([0.0, 4.0]))
@FEW
def test_fit_with_labels_and_groups_swapped(seed, lam):
    random = np.random.default_rng(seed)
    s = random.integers(2, size=200)
    x = random.normal(size=(200, 2)) + s[:, None] * [1.0, 0.0]
    y = (x[:, 0] + x[:, 1] > 0.5).astype(int)
    model = MIDebiasedClassifier(lam=lam, max_iter=60, random_state=0)
    first = model.fit(x, y, sensitive_features=s).predict(x)
    second = 1 - model.fit(x, 1 - y, sensitive_features=1 - s).predict(x)
    assert (first == second).mean() > (0.8 if lam else 0.93)
