from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from fairmi.dependence import (
    CLUB,
    MINE,
    NWJ,
    SMILE,
    BarberAgakov,
    DonskerVaradhan,
    InfoNCE,
)
from fairmi.dependence.estimator import Samples, read
from fairmi.dependence.observations import NormalScores, Reader, features
from fairmi.exceptions import SensitiveFeaturesError

BOUNDS = (BarberAgakov, CLUB, DonskerVaradhan, InfoNCE, MINE, NWJ, SMILE)
each_bound = pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: bound.__name__)
LOW = (BarberAgakov, DonskerVaradhan, InfoNCE, MINE, NWJ, SMILE)


def normal_pair(n_rows, rho=0.75, seed=0):
    z, e = np.random.default_rng(seed).normal(size=(2, n_rows))
    return z, rho * z + np.sqrt(1 - rho**2) * e


def groups_pair(n_rows, seed=0):
    rng = np.random.default_rng(seed)
    c = rng.integers(3, size=n_rows)
    return c[:, None] + rng.normal(size=(n_rows, 2)), np.array(["a", "b", "c"])[c]


@pytest.mark.slow
@pytest.mark.parametrize("bound", LOW, ids=lambda bound: bound.__name__)
def test_estimate_on_other_rows_is_near_the_information_of_normals(bound):
    Z, C = normal_pair(6000)
    found = bound().fit(Z[:4000], C[:4000], random_state=0).estimate(Z[4000:], C[4000:])
    assert found == pytest.approx(-0.5 * np.log(1 - 0.75**2), abs=0.08)  # measured 0.413 to 0.418


@pytest.mark.slow
def test_estimate_of_club_is_above_the_information():
    Z, C = normal_pair(6000, rho=0.5)
    found = CLUB().fit(Z[:4000], C[:4000], random_state=0).estimate(Z[4000:], C[4000:])
    assert found == pytest.approx(0.25 / 0.75, abs=0.08)  # measured 0.331


@pytest.mark.slow_cases("*-BarberAgakov", "*-CLUB", "*-InfoNCE", "*-MINE", "*-NWJ", "*-SMILE")
@each_bound
@pytest.mark.parametrize("pair", [normal_pair, groups_pair], ids=["values", "groups"])
def test_independent_rows_tell_nothing(bound, pair):
    Z, C = pair(2000)
    C = np.random.default_rng(1).permutation(C)
    found = bound().fit(Z[:1500], C[:1500], random_state=0).estimate(Z[1500:], C[1500:])
    assert abs(found) < 0.06  # measured 0 to 0.009


@pytest.mark.slow
@each_bound
def test_one_seed_gives_one_figure_and_moves_no_global_generator(bound):
    Z, C = groups_pair(300)
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    first = bound().fit(Z, C, random_state=1).estimate(Z, C)
    bound().fit(Z, C)
    assert first == bound().fit(Z, C, random_state=1).estimate(Z, C)
    assert first != bound().fit(Z, C, random_state=2).estimate(Z, C)
    assert (np.random.get_state()[1] == before[0]).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.slow
def test_monotone_transform_of_a_column_changes_nothing():
    Z, C = normal_pair(500)
    plain = DonskerVaradhan().fit(Z, C, random_state=0)
    moved = DonskerVaradhan().fit(np.exp(Z), C**3, random_state=0)
    assert moved.estimate(np.exp(Z), C**3) == pytest.approx(plain.estimate(Z, C), abs=1e-4)


@pytest.mark.slow
def test_names_of_groups_and_containers_do_not_matter():
    Z, C = groups_pair(300)
    first = NWJ().fit(Z, C, random_state=0).estimate(Z, C)
    codes = pd.Series(C, index=range(5, 305)).map({"a": 10, "b": 20, "c": 30})
    frame = pd.DataFrame(Z, columns=["u", "v"])
    assert NWJ().fit(frame, codes, random_state=0).estimate(frame, codes) == first
    assert NWJ().fit(Z.tolist(), C.tolist(), random_state=0).estimate(Z, C) == first


def test_kind_of_c_is_decided_by_the_rule_of_the_classifier():
    Z, C = normal_pair(400)
    assert Reader(Z, np.round(C * 100).astype(int), plain_c=False).n_groups == 0
    assert Reader(Z, (C > 0).astype(float), plain_c=False).n_groups == 2
    both = pd.DataFrame({"age": C, "sex": np.where(C > 0, "f", "m")})
    rows = Reader(Z, both, plain_c=True).read(Z, both)
    assert rows.groups is None
    assert rows.values.shape == (400, 3)


@pytest.mark.slow
@each_bound
def test_mixed_c_of_both_kinds_gives_a_finite_figure(bound):
    Z, C = normal_pair(300)
    both = pd.DataFrame({"age": C, "sex": np.where(Z > 0, "f", "m")})
    assert np.isfinite(bound().fit(Z, both, random_state=0).estimate(Z, both))


@pytest.mark.slow
def test_samples_side_by_side_are_read_as_each_alone():
    parts = []
    for seed in range(3):
        Z, C = normal_pair(200, seed=seed)
        parts.append(Reader(Z, C, plain_c=False).read(Z, C))
    samples = Samples.stack(parts, 0)
    critic = SMILE().trained_critic(samples, 0)
    together = read(SMILE(), critic, samples)
    for m, part in enumerate(parts):
        alone = SMILE().trained_critic(Samples.stack([part], 0), 0)
        with torch.no_grad():
            for mine, all_of in zip(alone.parameters(), critic.parameters(), strict=True):
                mine.copy_(all_of[m : m + 1])
        assert float(read(SMILE(), alone, Samples.stack([part], 0))) == pytest.approx(
            float(together[m]), abs=1e-5
        )


def test_fitted_estimator_survives_pickle_and_clone_forgets():
    Z, C = groups_pair(200)
    fitted = MINE((8,)).fit(Z, C, random_state=0)
    assert pickle.loads(pickle.dumps(fitted)).estimate(Z, C) == fitted.estimate(Z, C)
    assert clone(fitted).hidden_layer_sizes == (8,)
    with pytest.raises(NotFittedError):
        clone(fitted).estimate(Z, C)


def test_scores_are_normal_and_lie_between_those_of_neighbours():
    column = np.random.default_rng(0).exponential(size=(1000, 1))
    scores = NormalScores(column)
    found = scores.transform(column)
    assert found.mean() == pytest.approx(0, abs=0.01)  # measured -4e-9
    assert found.std() == pytest.approx(1, abs=0.01)  # measured 1
    order = np.argsort(column[:, 0])
    assert (np.diff(found[order, 0]) > 0).all()
    middle = scores.transform((column[order[:-1]] + column[order[1:]]) / 2)
    assert ((middle > found[order[:-1]]) & (middle < found[order[1:]])).all()
    assert np.isfinite(scores.transform(np.array([[-9.0], [99.0]]))).all()
    assert features(found).shape == (1000, 10)


def nothing_but(value, n_rows=60):
    return np.full(n_rows, value)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda Z, C: (np.where(Z > 1, np.nan, Z), C), ValueError, "Z contains NaN"),
        (lambda Z, C: (Z, C[:-1]), SensitiveFeaturesError, "C has 59 rows, but Z has 60"),
        (lambda Z, C: (Z, nothing_but("a")), SensitiveFeaturesError, "single value 'a'"),
        (lambda Z, C: (Z, np.append(C[1:], None)), SensitiveFeaturesError, "missing value"),
        (
            lambda Z, C: (Z, np.append(np.inf, np.arange(59.0))),
            SensitiveFeaturesError,
            "infinite value in 1 rows",
        ),
        (lambda Z, C: (Z[:10], C[:10]), ValueError, "Z has 10 rows; give at least 20"),
        (lambda Z, C: (np.full((60, 1), "x"), C), ValueError, "could not convert"),
    ],
    ids=["Z NaN", "length", "one value", "C missing", "C infinite", "few rows", "Z text"],
)
def test_bad_input_of_fit_is_told(change, error, message):
    Z, C = groups_pair(60)
    Z, C = change(Z, C.astype(object))
    with pytest.raises(error, match=message):
        DonskerVaradhan().fit(Z, C)


def test_bad_input_of_estimate_is_told():
    Z, C = groups_pair(60)
    fitted = DonskerVaradhan((4,)).fit(Z, C, random_state=0)
    with pytest.raises(ValueError, match="Z has 1 columns, but had 2 in fit"):
        fitted.estimate(Z[:, :1], C)
    with pytest.raises(
        SensitiveFeaturesError, match="C has groups that the first fit did not see: 'd'"
    ):
        fitted.estimate(Z, np.where(C == "a", "d", C))
    with pytest.raises(SensitiveFeaturesError, match="C has 2 columns, but had 1"):
        fitted.estimate(Z, np.column_stack([C, C]))
    with pytest.raises(NotFittedError):
        DonskerVaradhan().estimate(Z, C)
