"""The audit of a regressor: what its figures are, and that summary, tables and pictures say so."""

from __future__ import annotations

import json
from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import (
    ks_2samp,
    kstwobign,
    kurtosis,
    norm,
    studentized_range,
    t,
    wasserstein_distance,
)
from sklearn.linear_model import GammaRegressor, LinearRegression
from sklearn.metrics import mean_gamma_deviance, r2_score

from fairmi._data.groups import group_rows
from fairmi.audit import audit
from fairmi.audit.calibration import calibration_figures
from fairmi.audit.findings import findings_of, number
from fairmi.audit.parts import Condition, conditional_figures
from fairmi.audit.predictions import Forecasts
from fairmi.audit.quantities import GroupMoments
from fairmi.exceptions import SensitiveFeaturesError

N = 400


def sample(seed=0, n=N, shift=0.8):
    rng = np.random.default_rng(seed)
    group = rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2])
    X = rng.normal(size=(n, 2)) + np.outer(group == "a", [shift, 0])
    y = np.exp(0.4 * X[:, 0] + 0.3 * rng.normal(size=n))
    return X, y, group


@pytest.fixture(scope="module")
def report():
    X, y, group = sample()
    model = GammaRegressor(alpha=0.01).fit(X, y)
    age = np.random.default_rng(1).integers(18, 80, N)
    groups = pd.DataFrame({"origin": group, "age": age})
    return audit(
        model, X, y, sensitive_features=groups, baseline=np.full(N, y.mean()) + 0.1 * X[:, 0] ** 2
        + 0.01, conditions=None, bins={"age": [40]}, random_state=0,
    ), model, X, y, group  # fmt: skip


def one(report, section, measure, **where):
    return next(
        f
        for f in report.figures
        if (f.section, f.measure) == (section, measure)
        and all(getattr(f, name) == value for name, value in where.items())
    )


def test_figures_are_those_of_scipy_and_scikit_learn(report):
    report, model, X, y, group = report
    predicted = model.predict(X)
    in_a = group == "a"
    pairs = [(predicted[group == g], predicted[group == h]) for g, h in ("ab", "ac", "bc")]
    of = {"attribute": "origin"}
    ks = one(report, "disparity", "ks_difference", **of)
    assert ks.value == pytest.approx(max(ks_2samp(*pair).statistic for pair in pairs))
    area = one(report, "disparity", "wasserstein_difference", **of)
    assert area.value == pytest.approx(max(wasserstein_distance(*pair) for pair in pairs))
    deviance = one(report, "group", "gamma_deviance", group="a")
    assert deviance.value == pytest.approx(mean_gamma_deviance(y[in_a], predicted[in_a]))
    explained = one(report, "overall", "explained")
    share = 1 - mean_gamma_deviance(y, predicted) / mean_gamma_deviance(y, np.full(N, y.mean()))
    assert explained.value == pytest.approx(share)


def test_a_quantity_is_cut_into_named_bins_and_probed_as_it_is(report):
    report = report[0]
    assert list(report.about["groups"]["age"]) == ["age up to 40", "age over 40"]
    assert any("age is a quantity" in note for note in report.notes)
    scores = [f.measure for f in report.section("leakage", "age") if f.subject == "predictions"]
    assert any(measure.startswith("r2") for measure in scores)
    assert any(f.measure.startswith("roc_auc") for f in report.section("leakage", "origin"))


def test_bounds_in_units_of_y_are_those_of_levels_times_the_range(report):
    report, model, X, *_ = report
    bound = one(report, "certificate", "ks_bound", attribute="origin", against="threshold")
    means = one(
        report, "certificate", "mean_difference_bound", attribute="origin", against="threshold"
    )
    assert means.value == pytest.approx(bound.value * np.ptp(model.predict(X)))
    ks = one(report, "disparity", "ks_difference", attribute="origin")
    difference = one(report, "disparity", "wasserstein_difference", attribute="origin")
    assert bound.value > ks.value
    assert means.value > difference.value


def test_all_forms_say_the_same_and_that_ks_alone_misleads(report, tmp_path):
    report = report[0]
    text = repr(report)
    finding = next(
        f for f in findings_of(report) if (f.topic, f.attribute) == ("distribution", "origin")
    )
    ks = one(report, "disparity", "ks_difference", attribute="origin")
    auc = next(
        f for f in report.section("leakage", "origin")
        if f.measure == "roc_auc_ovr" and not f.given
    )  # fmt: skip
    assert finding.verdict == ks.verdict
    for value in (ks.value, auc.value):
        assert number(value) in finding.text
    assert "KS alone misleads" in finding.text
    assert number(ks.value) in text
    assert "RMSE" in text
    assert report.about["y"] in " ".join(text.split())
    report.to_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "share predicted that or less" in page
    assert "mean prediction" in page
    assert "y in one range" in page
    assert finding.text in page.replace("&#39;", "'").replace("&amp;", "&")
    report.to_card(tmp_path / "card.md")
    assert "tabular-regression" in (tmp_path / "card.md").read_text()
    report.to_json(tmp_path / "figures.json")
    assert len(json.loads((tmp_path / "figures.json").read_text())["figures"]) == len(
        report.figures
    )


def test_changes_are_those_of_both_models_and_their_intervals_hold_them(report):
    report = report[0]
    for measure in ("ks_difference", "mean_prediction_difference", "rmse_difference"):
        ours, theirs, change = (
            one(report, section, measure, attribute="origin")
            for section in ("disparity", "baseline", "change")
        )
        assert change.value == pytest.approx(ours.value - theirs.value)
        assert change.low < change.value < change.high


def test_rows_given_twice_as_clusters_have_the_intervals_of_rows_once():
    X, y, group = sample()
    once = Forecasts(y, y + X[:, 1], "squared_error")
    twice = np.repeat(np.arange(N), 2)
    doubled = Forecasts(once.true[twice], once.predicted[twice], "squared_error", clusters=twice)
    rated = GroupMoments(once, group_rows(group)), GroupMoments(doubled, group_rows(group[twice]))
    np.testing.assert_allclose(*(moments.limits(0.025) for moments in rated))

    def numbers(moments):
        options = {"confidence": 0.95, "n_boot": 400, "rng": np.random.default_rng(0)}
        figures = moments.disparities("", **options)
        figures += calibration_figures(moments.answers, moments.groups, **options)[0]
        bands = [[max(p.share - p.low for p in c.bins)] * 4 for c in moments.curves(0.95)]
        return bands + [(f.value, f.low, f.high, f.by_chance) for f in figures]

    np.testing.assert_allclose(*map(numbers, rated), rtol=1e-6)


def test_intervals_hold_the_truth_and_chance_does_its_share():
    """The full simulation is benchmarks/truth.py; here a fault of a factor would be seen."""
    held, found, n_runs = {}, 0, 120
    truth = {"ks_difference": 0.1974, "wasserstein_difference": 0.5, "bias_difference": 0.0,
             "mean_prediction_difference": 0.5, "rmse_difference": 0.0}  # fmt: skip
    rng = np.random.default_rng(0)
    for _ in range(n_runs):
        codes = rng.integers(2, size=300)
        predicted = rng.normal(size=300) + 0.5 * codes
        forecasts = Forecasts(predicted + rng.normal(size=300), predicted, "squared_error")
        options = {"confidence": 0.95, "n_boot": 100, "rng": rng}
        for f in GroupMoments(forecasts, group_rows(codes)).disparities("", **options):
            if f.measure in truth:
                within = f.low <= truth[f.measure] <= f.high
                held[f.measure] = held.get(f.measure, 0) + within / n_runs
        fair = Forecasts(forecasts.true, rng.permutation(predicted), "squared_error")
        alike = GroupMoments(fair, group_rows(codes)).disparities("", **options)
        found += sum(f.value > f.by_chance for f in alike[:3]) / 3 / n_runs
    # Measured: .93 to 1; chance is exceeded by .06.
    assert set(held) == set(truth)
    assert min(held.values()) > 0.89
    assert found < 0.12


def test_limits_and_disparities_are_those_of_t_and_of_all_pairs():
    """Of what is never negative they are of logarithms, with fewer degrees of freedom."""
    rng, n_of = np.random.default_rng(4), np.array([30, 35, 90, 29])
    codes, n = np.repeat(np.arange(4), n_of), n_of.sum()
    y = 9 * (codes == 2) + 50 * (codes == 3) + rng.normal(size=n)
    predicted = y + rng.exponential(size=n)
    moments = GroupMoments(Forecasts(y, predicted, "poisson"), group_rows(codes))

    def limits(x, tail, *, positive):
        margin, freedom = x.std(ddof=1) / np.sqrt(len(x)), len(x) - 1
        if positive:
            freedom = np.clip(len(x) / (kurtosis(x, fisher=False) - 1), 3, freedom)
        margin = t.isf(tail, freedom) * margin * np.array([0, -1, 1])
        return x.mean() * np.exp(margin / x.mean()) if positive else x.mean() + margin

    rows = {"mean_prediction": predicted, "bias": predicted - y}
    rows |= {"rmse": rows["bias"] ** 2, "mae": np.abs(rows["bias"])}
    tail = norm.sf(studentized_range.isf(0.05, 3, np.inf) / np.sqrt(2))
    of_groups = {(f.measure, f.group[-1]): f for f in moments.figures("", 0.95)}
    figures = {f.measure: f for f in moments.disparities("", confidence=0.95, n_boot=99, rng=rng)}
    for name, of_row in rows.items():
        power, positive = 0.5 if name == "rmse" else 1, name in ("rmse", "mae")
        for g in range(4):
            f, expected = (
                of_groups[name, str(g)],
                limits(of_row[codes == g], 0.025, positive=positive),
            )
            assert (f.value, f.low, f.high) == pytest.approx(expected**power)
        joint = [limits(of_row[codes == g], tail, positive=positive) ** power for g in range(3)]
        for ratio in (False, True)[: 1 + (name == "mean_prediction")]:
            groups = np.log(joint) if ratio else joint
            ends = [
                a
                - b
                + np.hypot([0, a - a_low, a_high - a], [0, b_high - b, b - b_low]) * [0, -1, 1]
                for (a, a_low, a_high), (b, b_low, b_high) in permutations(groups, 2)
            ]
            expected = np.maximum(ends, 0).max(axis=0)
            f = figures[f"{name}_{'ratio' if ratio else 'difference'}"]
            expected = np.exp(-expected[[0, 2, 1]]) if ratio else expected
            assert (f.value, f.low, f.high) == pytest.approx(expected)
    assert figures["ks_difference"].high == figures["ks_difference"].value == 1
    for name in ("wasserstein_difference", "mean_prediction_ratio"):
        assert (figures[name].most[-1], figures[name].verdict) == ("2", "found")
    curve = moments.curves(0.95)[1].bins
    below = np.array([(predicted[codes == 1] <= point.score).mean() for point in curve])
    low = np.maximum(below - kstwobign.isf(0.05) / np.sqrt(35), 0)
    np.testing.assert_allclose([(point.share, point.low) for point in curve], np.c_[below, low])
    band = moments.apart.band(0.95, 3)
    np.testing.assert_allclose(band[0], kstwobign.isf(0.05 / 3) * np.sqrt(1 / 30 + 1 / 35))


@pytest.mark.parametrize("which", [slice(None), slice(7, 8)])  # one row's error alone: up to 1
def test_what_is_explained_has_the_error_of_a_ratio(which):
    y = np.random.default_rng(5).normal(size=90)
    predicted = y.copy()
    predicted[which] += 2 * np.sin(9 * y[which])
    f = GroupMoments(Forecasts(y, predicted, "squared_error")).figures("", 0.95)[-1]
    of_model, of_mean = (predicted - y) ** 2, (y - y.mean()) ** 2
    rest = of_model - of_model.mean() / of_mean.mean() * of_mean
    margin = t.isf(0.025, 89) * rest.std(ddof=1) / np.sqrt(90) / of_mean.mean()
    expected = (r2_score(y, predicted), f.value - margin, min(f.value + margin, 1))
    assert (f.value, f.low, f.high) == pytest.approx(expected)
    assert not np.any(GroupMoments(Forecasts(y, y, "squared_error")).limits(0.025)[1][0, 1:])


@pytest.mark.parametrize("each", [1, 2])
def test_changes_are_those_of_rows_that_are_drawn_and_measured_by_scipy(each):
    """An area may be off by that of its errors: F* less F of one group, and of another."""
    n, n_units, rng = 60, 60 // each, np.random.default_rng(3)
    codes, y = np.arange(n) % 3, rng.normal(size=n)
    clusters = np.arange(n) // each if each > 1 else None
    models = [np.round(y + rng.normal(size=n) + shift * codes, 1) for shift in (0, 0.1)]
    forecasts = [Forecasts(y, of, "squared_error", clusters=clusters) for of in models]
    times = np.random.default_rng(0).multinomial(n_units, np.full(n_units, 1 / n_units), size=40)
    times = np.repeat(times, each, axis=1)

    def means(predicted, rows):
        error = (predicted - y)[rows]
        return [predicted[rows].mean(), error.mean(), (error**2).mean() ** 0.5, abs(error).mean()]

    def apart(predicted, n_times):
        drawn = [np.repeat(np.flatnonzero(codes == g), n_times[codes == g]) for g in range(3)]
        distances = []
        for g, h in combinations(range(3), 2):
            pair = predicted[drawn[g]], predicted[drawn[h]]
            weights = [n_times * (codes == a) / len(drawn[a]) + (codes == b) / 20
                       for a, b in ((g, h), (h, g))]  # fmt: skip
            errors = 2 * wasserstein_distance(predicted, predicted, *weights)
            ks = ks_2samp(*pair, method="asymp").statistic
            distances.append((errors, ks, wasserstein_distance(*pair)))
        of_groups = np.ptp([means(predicted, rows) for rows in drawn], axis=0)
        return np.array([*np.max(distances, axis=0), *of_groups])

    def all_rows(predicted, n_times):
        return np.array([0, *means(predicted, np.repeat(np.arange(n), n_times))])

    for groups, figures, area in ((group_rows(codes), apart, 2), (None, all_rows, 0)):
        ours, theirs = (GroupMoments(of, groups) for of in forecasts)
        options = {"confidence": 0.9, "n_boot": 40, "rng": np.random.default_rng(0)}
        changes = [(f.value, f.low, f.high) for f in ours.changes(theirs, **options)]
        drawn = np.array([figures(models[0], k) - figures(models[1], k) for k in times])
        value = np.subtract(*(figures(of, np.ones(n, dtype=int)) for of in models))
        margin = np.quantile(np.abs(drawn[:, 0]), 0.9) * (np.arange(len(value)) == area)
        low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
        low, high = (
            np.minimum(np.minimum(low, 2 * value - high), value - margin),
            np.maximum(np.maximum(high, 2 * value - low), value + margin),
        )
        np.testing.assert_allclose(changes, np.c_[value, low, high][1:], atol=1e-9)


@pytest.mark.usefixtures("no_probes")
def test_without_y_what_needs_none_is_measured():
    X, y, group = sample()
    options = {"sensitive_features": group, "conditions": None, "n_boot": 100, "random_state": 0}
    model, rival = (LinearRegression().fit(X[:, :k], y) for k in (2, 1))
    predicted = {"y_pred": model.predict(X), "baseline": rival.predict(X[:, :1]), **options}
    without = audit(**predicted, task="regression")
    assert {f.measure for f in without.section("group")} == {"mean_prediction"}
    known = {(f.section, f.measure, f.group): f.value for f in audit(y=y, **predicted).figures}
    for f in without.section("group") + without.section("disparity")[:3]:
        assert f.value == known[f.section, f.measure, f.group]
    assert not without.section("calibration")
    assert any(note.startswith("y is not known") for note in without.notes)


def test_a_group_of_one_row_is_no_all_clear():
    X, y, _ = sample(n=40)
    groups = group_rows(np.repeat(["a", "b"], [39, 1]))
    moments = GroupMoments(Forecasts(y, X[:, 0], "squared_error"), groups)
    options = {"confidence": 0.95, "n_boot": 100, "rng": np.random.default_rng(0)}
    verdicts = {f.measure: f.verdict for f in moments.disparities("", **options)}
    assert verdicts["mean_prediction_difference"] == verdicts["mae_difference"] == "not measured"
    assert verdicts["ks_difference"] != "not measured"


def test_within_parts_the_planted_one_comes_first():
    X, y, group = sample(n=1200, shift=0)
    part = np.arange(1200) % 3
    predicted = X[:, 1] + 1.5 * ((part == 1) & (group == "a"))
    forecasts = Forecasts(y, predicted, "squared_error")
    condition = Condition(("k = 0", "k = 1", "k = 2"), part)
    figures = conditional_figures(forecasts, group_rows(group), [condition], 0.95)
    first = [f for f in figures if f.part == "k = 1" and f.section == "conditional"]
    assert figures[:3] == first
    assert [f.verdict for f in first] == ["found"] * 3
    assert all(f.low < f.value < f.high for f in first)
    rest = [f for f in figures if f.section == "conditional" and f.part != "k = 1"]
    assert {f.verdict for f in rest} == {"none found"}
    a = predicted[(part == 1) & (group == "a")]
    others = [predicted[(part == 1) & (group == g)] for g in "bc"]
    assert first[1].value == pytest.approx(max(ks_2samp(a, o).statistic for o in others))


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"y": ["low", "high"] * 20}, ValueError, "y holds 'low', which is no number"),
        ({"y": np.full(40, np.inf)}, ValueError, "y has a missing or infinite value in 40"),
        ({"pos_label": 1}, ValueError, "a regressor has neither"),
        ({"loss": "poisson"}, ValueError, 'Give loss="squared_error"'),
        ({"bins": {"weight": 3}}, SensitiveFeaturesError, "bins has \\['weight'\\]"),
        ({"bins": [5.0, 2.0]}, SensitiveFeaturesError, "rising sequence"),
        ({"bins": [1e9]}, SensitiveFeaturesError, "leaves one group of 'age'"),
        ({"baseline": np.ones(3)}, ValueError, "baseline predicts 3 numbers for 40 rows"),
        ({"task": "classification"}, ValueError, "is a regressor"),
    ],
)
def test_bad_input_names_the_argument_and_the_fix(change, error, match):
    rng = np.random.default_rng(0)
    X, age = rng.normal(size=(40, 2)), rng.normal(40, 10, size=40)
    model = LinearRegression().fit(X, X[:, 0])
    arguments = {"y": X[:, 0], "sensitive_features": pd.DataFrame({"age": age}), **change}
    with pytest.raises(error, match=match):
        audit(model, X, **arguments)


def test_numbers_in_place_of_a_model_are_taken_for_what_they_are():
    rng = np.random.default_rng(0)
    group, scores = rng.integers(2, size=120).astype(str), rng.random(120)
    with pytest.raises(ValueError, match='task="regression"'):
        audit(y=rng.integers(2, size=120), y_pred=scores, sensitive_features=group)
    y = scores + rng.normal(size=120)
    r2 = one(
        audit(y=y, y_pred=scores, sensitive_features=group, random_state=0), "overall", "explained"
    )
    assert r2.value == pytest.approx(r2_score(y, scores))
