from __future__ import annotations

import sys
from types import SimpleNamespace

import fairlearn.metrics as fm
import matplotlib as mpl
import matplotlib.colors as colors
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import sklearn
from conftest import printed_by
from scipy.stats import ks_2samp
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import d2_absolute_error_score, r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from fairmi.audit.pictures import COLOURS, LINES, MARKS, look
from fairmi.metrics.scorers import make_fairness_scorer
from fairmi.model_selection import best_under_bound
from fairmi.plot import (
    FairnessFrontierDisplay,
    GroupMetricsDisplay,
    LeakageDisplay,
    TrainingDisplay,
)

mpl.use("Agg")
X, Y = make_classification(600, 6, flip_y=0.2, random_state=0)
S = np.where(X[:, 0] + np.random.default_rng(0).normal(size=600) > 0, "a", "b")
MODEL = LogisticRegression().fit(X, Y)
GAP = "demographic_parity_difference"
HISTORY = [
    {"epoch": k, "task_loss": 1 / k, "penalty": 0.2 / k, "val_accuracy": 1 - 0.5 / k}
    for k in range(1, 21)
]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def search():
    grid = GridSearchCV(
        LogisticRegression(),
        {"C": [1e-4, 1e-2, 1.0], "class_weight": [None, {1: 0.2}]},
        scoring={GAP: make_fairness_scorer(GAP), "accuracy": "accuracy"},
        refit="accuracy",
        cv=3,
    )
    with sklearn.config_context(enable_metadata_routing=True):
        return grid.fit(X, Y, sensitive_features=S)


def drawn(display):
    """Draw it for good, which finds what only shows then, and return the axes' texts."""
    display.figure_.canvas.draw()
    return display.ax_.get_legend_handles_labels()[1]


@pytest.mark.slow
def test_frontier_of_a_search(search):
    display = FairnessFrontierDisplay.from_estimator(search)
    np.testing.assert_allclose(display.unfairness, -search.cv_results_[f"mean_test_{GAP}"])
    front = display.frontier()
    assert (np.diff(display.unfairness[front]) > 0).all()
    assert (np.diff(display.score[front]) > 0).all()
    for i in set(range(6)) - set(front):
        beaten = (display.unfairness <= display.unfairness[i]) & (
            display.score >= display.score[i]
        )
        assert beaten.sum() > 1
    assert drawn(display) == ["frontier", "chosen", "candidates"]
    assert "C 0.01" in display.labels[2]
    assert "less is fairer" in display.ax_.get_xlabel()


def test_frontier_of_predictions():
    said = {"model": MODEL.predict(X), "nobody": np.zeros_like(Y)}
    display = FairnessFrontierDisplay.from_predictions(Y, said, sensitive_features=S)
    gap = fm.demographic_parity_difference(Y, said["model"], sensitive_features=S)
    np.testing.assert_allclose(display.unfairness, [gap, 0])
    assert [text.get_text() for text in display.ax_.texts] == ["nobody", "model"]


def test_frontier_of_predicted_numbers():
    amounts = 10 * Y + X[:, 1]
    said = {"mean": np.full(len(Y), amounts.mean()), "shifted": amounts + 0.5}
    display = FairnessFrontierDisplay.from_predictions(amounts, said, sensitive_features=S)
    groups = [said["shifted"][np.asarray(S) == value] for value in np.unique(S)]
    np.testing.assert_allclose(display.unfairness, [0, ks_2samp(*groups).statistic])
    np.testing.assert_allclose(display.score, [0, r2_score(amounts, amounts + 0.5)], atol=1e-12)
    assert "KS between groups" in display.ax_.get_xlabel()
    assert display.ax_.get_ylabel() == "R²"
    display = FairnessFrontierDisplay.from_predictions(
        amounts,
        said,
        sensitive_features=S,
        unfairness="wasserstein",
        score=d2_absolute_error_score,
    )
    assert display.ax_.get_ylabel() == "d2 absolute error"
    assert display.unfairness[1] > 0


def test_frontier_names_all_that_stand_apart_and_leaves_out_what_failed():
    points = [0.2, 0.1, 0.02, 0.15, np.nan, 0.2], [0.86, 0.85, 0.83, 0.82, 0.9, np.nan]
    display = FairnessFrontierDisplay(*points, labels=list("abcdef"), chosen=1).plot()
    np.testing.assert_array_equal(display.frontier(), [2, 1, 0])
    assert sorted(text.get_text() for text in display.ax_.texts) == ["a", "b", "c"]


def inside(display):
    """Whether all names lie inside the frame, and cover neither each other nor the legend."""
    display.figure_.canvas.draw()
    frame = display.ax_.get_window_extent()
    boxes = [text.get_window_extent() for text in display.ax_.texts]
    boxes.append(display.ax_.get_legend().get_window_extent())
    ends = [frame.contains(x, y) for b in boxes[:-1] for x, y in ((b.x0, b.y0), (b.x1, b.y1))]
    apart = not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])
    return all(ends) and apart


@pytest.mark.parametrize("name", ["λ", "a name that is rather long"])
@pytest.mark.parametrize("size", [(6.4, 4.8), (3, 2.5)])
def test_no_name_runs_through_the_frame(name, size):
    rng = np.random.default_rng(0)
    for n in (2, 5, 12):
        _, ax = plt.subplots(figsize=size, layout="constrained")
        points = np.sort(rng.random((2, n)), axis=1)
        labels = [f"{name} {k}" for k in range(n)]
        display = FairnessFrontierDisplay(*points, labels=labels, chosen=0, bound=0.5).plot(ax)
        assert inside(display)
        assert name == "a name that is rather long" or display.ax_.texts


def test_a_path_names_no_penalty_the_chosen_one_and_the_bound():
    lams = np.array([0.0, 0.25, 2.0, 16.0])
    figures = {"roc_auc": [0.86, 0.87, 0.85, 0.83], GAP: [0.2, 0.15, 0.04, 0.01]}
    results = {f"{part}_test_roc_auc": figures["roc_auc"] for part in ("mean", "split0")}
    results |= {f"{part}_test_{GAP}": figures[GAP] for part in ("pooled", "se")}
    frontier = pd.DataFrame(columns=["lam", "mean_roc_auc", "se_roc_auc", GAP, f"se_{GAP}"])
    path = SimpleNamespace(
        cv_results_=results | {"params": [{"lam": lam} for lam in lams]},
        lams_=lams,
        best_index_=2,
        bound_=0.05,
        frontier_=frontier,
    )
    display = FairnessFrontierDisplay.from_estimator(Pipeline([("search", path)]))
    assert display.ax_.get_ylabel() == "roc auc"
    assert {text.get_text() for text in display.ax_.texts} == {"λ = 0", "λ = 2"}
    assert drawn(display) == ["frontier", "bound 0.05", "chosen", "candidates"]
    assert inside(display)


def test_a_search_under_a_bound_shows_it(search):
    rule = best_under_bound(GAP, 0.1, maximize="accuracy")
    shown = SimpleNamespace(cv_results_=search.cv_results_, best_index_=0, refit=rule)
    assert FairnessFrontierDisplay.from_estimator(shown).bound == 0.1


def test_frontier_names_the_scores_that_are_there(search):
    with pytest.raises(ValueError, match=r"'mean_test_f1'; the search scored \['accuracy'"):
        FairnessFrontierDisplay.from_estimator(search, score="f1")


@pytest.mark.parametrize(("by_predictions", "label"), [(True, None), (False, None), (False, 0)])
def test_groups(by_predictions, label):
    options = {"sensitive_features": S, "pos_label": label}
    if by_predictions:
        display = GroupMetricsDisplay.from_predictions(Y, MODEL.predict(X), **options)
    else:
        display = GroupMetricsDisplay.from_estimator(MODEL, X, Y, **options)
    assert drawn(display) == ["a", "b"]
    ticks = [tick.get_text() for tick in display.ax_.get_xticklabels()]
    assert ticks == ["accuracy", "selection rate", "true positive rate", "false positive rate"]
    selected = pd.Series(MODEL.predict(X) == (1 if label is None else label)).groupby(S).mean()
    points = [container.lines[0].get_ydata()[1] for container in display.ax_.containers]
    np.testing.assert_allclose(points, selected)


def test_groups_of_more_classes():
    X3, y3 = make_classification(
        400, 6, n_classes=6, n_informative=6, n_redundant=0, random_state=1
    )
    model = LogisticRegression(max_iter=500).fit(X3, y3)
    display = GroupMetricsDisplay.from_estimator(model, X3, y3, sensitive_features=X3[:, 0] > 0)
    assert drawn(display) == ["sensitive_0: no", "sensitive_0: yes"]
    assert len(display.ax_.get_xticks()) == 1 + 3 * 6


def test_training():
    display = TrainingDisplay.from_estimator(SimpleNamespace(history_=HISTORY))
    assert set(display.curves()) == {"task_loss", "penalty", "val_accuracy"}
    assert drawn(display) == ["task loss", "penalty"]
    assert display.score_ax_ is not None
    (line,) = display.score_ax_.lines
    np.testing.assert_allclose(line.get_ydata(), [r["val_accuracy"] for r in HISTORY])


def test_training_is_tolerant_of_records():
    history = [{"task_loss": 1.0, "note": "warm"}, {"penalty": None}, {"task_loss": 0.5}]
    display = TrainingDisplay(history).plot()
    np.testing.assert_array_equal(display.curves()["task_loss"], [1, np.nan, 0.5])
    assert display.score_ax_ is None
    drawn(display)
    for nothing in ([], [{"epoch": 1}]):
        with pytest.raises(ValueError, match="no records with numbers"):
            TrainingDisplay(nothing).plot()


class Fitted:
    def __init__(self, lam, Z):
        self.lam, self.Z = lam, Z
        self.history_ = [{"penalty": 0.3}, {"penalty": 0.001}]

    def fit(self):
        """A stand-in for an estimator."""

    def transform(self, X):
        return self.Z


@pytest.mark.parametrize(
    ("lams", "text"),
    [
        ([{"a": 1.0}], r"lam=\{'a': 1.0\}, a λ for each feature"),
        ([1.0, 2.0, 1.0], "of which some are equal"),
    ],
)
def test_leakage_has_one_place_for_each_lam(lams, text):
    with pytest.raises(ValueError, match=text):
        LeakageDisplay.from_estimator([Fitted(lam, X) for lam in lams], X, sensitive_features=S)


@pytest.mark.slow
def test_leakage_sees_through_a_claim():
    hidden = np.round(X[:, 2:4], 3) + 1e-7 * (S == "a")[:, None]
    empty = np.random.default_rng(1).normal(size=(600, 1)).round()

    models = [Fitted(10.0, empty), Fitted(1.0, hidden)]
    display = LeakageDisplay.from_estimator(models, X, sensitive_features=S, random_state=0)
    np.testing.assert_array_equal(display.lam, [1, 10])
    np.testing.assert_array_equal(display.claimed, [0.001, 0.001])
    assert display.found[0] > 0.4  # measured 0.692
    assert display.found[1] < display.by_chance
    assert set(drawn(display)) == {"a fresh probe finds", "the trained critic claims", "by chance"}


def test_a_display_draws_where_it_is_told(search):
    figure, axes = plt.subplots(2, 2)
    displays = [
        FairnessFrontierDisplay.from_estimator(search, ax=axes[0, 0]),
        GroupMetricsDisplay.from_estimator(MODEL, X, Y, sensitive_features=S, ax=axes[0, 1]),
        TrainingDisplay(HISTORY).plot(ax=axes[1, 0]),
        LeakageDisplay([0, 1], [0.1, 0.0], [0.2, 0.2]).plot(ax=axes[1, 1]),
    ]
    assert [display.ax_ for display in displays] == list(axes.flat)
    assert all(display.figure_ is figure for display in displays)
    figure.canvas.draw()


def test_unfitted_estimators_are_refused():
    with pytest.raises(NotFittedError):
        FairnessFrontierDisplay.from_estimator(GridSearchCV(LogisticRegression(), {}))
    with pytest.raises(NotFittedError):
        TrainingDisplay.from_estimator(LogisticRegression())
    with pytest.raises(NotFittedError):
        LeakageDisplay.from_estimator(LogisticRegression(), X, sensitive_features=S)


def test_things_differ_in_grey():
    """Marks and lines tell apart without colour: no two of 28 things share both."""
    assert len(set(MARKS)) == len(COLOURS) == 7
    assert len(set(LINES)) == 4
    seen = [(look(i)["marker"], look(i)["linestyle"]) for i in range(28)]
    assert len(set(seen)) == 28
    grey = sorted(np.dot(colors.to_rgb(c), [0.299, 0.587, 0.114]) for c in COLOURS)
    assert grey[-1] < 0.7, "too light on white"  # measured 0.487


@pytest.mark.slow
def test_matplotlib_is_not_loaded_before_a_plot():
    code = "import sys, fairmi.plot; assert 'matplotlib' not in sys.modules; print('ran')"
    assert printed_by(code) == "ran\n"


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"fairmi\[plot\]"):
        TrainingDisplay(HISTORY).plot()
