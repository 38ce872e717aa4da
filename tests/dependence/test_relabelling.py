"""Which group is called which changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fairmi.dependence import SensitiveBatch
from fairmi.dependence.counts import LevelTable, exact_bound

MANY = settings(max_examples=500, deadline=None)


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
