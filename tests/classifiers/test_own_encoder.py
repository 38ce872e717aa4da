"""A module of the user's own as encoder: copied, seeded, checked; X of any rank; saved."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
import skops.io
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from torch import nn

from fairmi import MIBackpropClassifier, MIDebiasedClassifier, MIDebiasedClassifierCV
from fairmi.datasets import LazyArray
from fairmi.exceptions import SensitiveFeaturesError
from fairmi.path import fairness_path

pytestmark = pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")

N = 160
RANDOM = np.random.default_rng(0)
Y = np.arange(N) % 2
S = RANDOM.integers(2, size=N)
# Rows of 6 x 5 bytes: bright above for y = 1, and bright on the left for s = 1.
IMAGES = RANDOM.integers(0, 60, size=(N, 6, 5))
IMAGES[:, :3] += 90 * Y[:, None, None]
IMAGES[:, :, :2] += 90 * S[:, None, None]
IMAGES = IMAGES.astype(np.uint8)


class Net(nn.Module):
    """A small network on rows of 6 x 5, with what behaves otherwise in training."""

    def __init__(self, width=8, dropout=0.2):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(30, width), nn.BatchNorm1d(width))
        self.drop = nn.Dropout(dropout)

    def forward(self, x):
        return self.drop(self.body(x).relu())


def small(**parameters):
    return MIDebiasedClassifier(
        **{"encoder": Net, "max_iter": 30, "batch_size": 40, "random_state": 0, **parameters}
    )


def fitted(x=IMAGES, **parameters):
    return small(**parameters).fit(x, Y, sensitive_features=S)


KINDS = {
    "bytes": (IMAGES, {}),
    "floats": (IMAGES / 255, {}),
    "open channel": (IMAGES, {"n_levels": None}),
    "prior correction": (IMAGES, {"prior_correction": True}),
    "equalized odds": (IMAGES, {"constraint": "equalized_odds"}),
    "rank 2": (IMAGES.reshape(N, -1), {}),
    "several networks": (IMAGES, {"n_estimators": 2}),
}


@pytest.mark.slow_cases("open channel")
@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_any_shape_are_learned(kind):
    """Training accuracy was 0.94 to 1.0 over seeds 0 to 4 for each kind; guessing has 0.5."""
    x, parameters = KINDS[kind]
    model = fitted(x, lam=0.5, **parameters)
    assert model.score(x, Y) > 0.85  # measured 0.988 to 1
    assert model.n_features_in_ == x.shape[1]
    assert model.item_shape_ == x.shape[1:]
    assert model.encoder_ is None
    assert isinstance(model.trunk_, Net)
    assert model.transform(x).shape == (N, 64 if model.n_levels is None else 1)
    assert model.predict_proba(x).shape == (N, 2)


def test_the_published_procedure_takes_it_too():
    model = MIBackpropClassifier(
        encoder=Net, n_critic_steps=2, max_iter=30, learning_rate=1e-2, random_state=0
    )
    model.fit(IMAGES, Y, sensitive_features=S)
    assert model.score(IMAGES, Y) > 0.85  # 0.99 to 1.0 over seeds 0 to 4
    assert model.transform(IMAGES).shape == (N, 64)


@pytest.mark.slow
def test_the_penalty_acts_on_the_module():
    """Accuracy of the group read from the sign of Z: 0.5 is none."""

    def told(lam):
        z = fitted(lam=lam, max_iter=60).transform(IMAGES)[:, 0]
        return max(abs((z > t).astype(int) @ (2 * S - 1)) for t in np.unique(z)) / N

    # Over seeds 0 to 4: 0.10 to 0.29 at λ = 0, 0.06 to 0.16 at λ = 4.
    assert told(4.0) < 0.25


def weights_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)


def test_a_module_is_copied_and_every_fit_starts_from_its_weights():
    torch.manual_seed(0)
    net = Net(dropout=0.0)
    before, training = weights_of(net), net.training
    model = fitted(encoder=net, max_iter=2)
    first = model.predict_proba(IMAGES)
    assert_same(weights_of(net), before)
    assert net.training == training
    assert not torch.equal(model.trunk_.body[1].weight, net.body[1].weight)
    again = model.fit(IMAGES, Y, sensitive_features=S).predict_proba(IMAGES)
    np.testing.assert_array_equal(first, again)
    copied = clone(model).fit(IMAGES, Y, sensitive_features=S).predict_proba(IMAGES)
    np.testing.assert_array_equal(first, copied)


def test_frozen_weights_stay_and_the_rest_trains():
    net = Net()
    net.body[1].requires_grad_(False)
    before = weights_of(net)
    after = weights_of(fitted(encoder=net, max_iter=2).trunk_)
    assert torch.equal(before["body.1.weight"], after["body.1.weight"])
    assert not torch.equal(before["body.2.weight"], after["body.2.weight"])
    assert not torch.equal(before["body.2.running_mean"], after["body.2.running_mean"])


def test_parameters_that_no_row_reaches_do_no_harm():
    class WithSpare(Net):
        def __init__(self):
            super().__init__()
            self.spare = nn.Linear(3, 3)

    for model in (small(encoder=WithSpare), MIBackpropClassifier(encoder=WithSpare, max_iter=1)):
        model.set_params(max_iter=1).fit(IMAGES, Y, sensitive_features=S)


def test_a_seed_makes_the_same_fit_and_the_global_generator_is_left_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = fitted(max_iter=2).predict_proba(IMAGES)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(8)
    np.testing.assert_array_equal(first, fitted(max_iter=2).predict_proba(IMAGES))
    assert not np.array_equal(first, fitted(max_iter=2, random_state=1).predict_proba(IMAGES))


def test_passes_of_the_critic_move_no_running_statistics():
    """They are those of one pass of the task and one of the penalty a step."""

    def counted(n_critic_steps):
        model = MIBackpropClassifier(
            encoder=Net, n_critic_steps=n_critic_steps, max_iter=1, random_state=0
        )
        model.fit(IMAGES, Y, sensitive_features=S)
        return int(model.trunk_.body[2].num_batches_tracked)

    assert counted(1) == counted(4) == 2 * round(N / 128)
    tracked = fitted(max_iter=1).trunk_.body[2].num_batches_tracked
    assert int(tracked) == N // 40


def test_a_row_alone_has_the_z_that_it_has_among_others():
    """To rounding: a module computes in float32, as it was trained."""
    model = fitted(IMAGES, n_levels=None)
    z = model.transform(IMAGES)
    alone = np.concatenate([model.transform(IMAGES[k : k + 1]) for k in range(5)])
    np.testing.assert_allclose(alone, z[:5], rtol=1e-4, atol=1e-5)


def test_bytes_are_floats_from_0_to_1():
    first = fitted(IMAGES, max_iter=2).predict_proba(IMAGES)
    second = fitted(IMAGES.astype(np.float32) / 255, max_iter=2)
    np.testing.assert_allclose(first, second.predict_proba(IMAGES / 255), rtol=1e-3)


def test_whole_numbers_stay_whole():
    """As words of a text do, which an embedding reads."""

    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.EmbeddingBag(20, 4)

        def forward(self, x):
            assert x.dtype == torch.int64
            return self.words(x)

    x = RANDOM.integers(10, size=(N, 7)) + 10 * Y[:, None]
    assert fitted(x, encoder=Words, learning_rate=0.03).score(x, Y) > 0.9  # 1.0 over 5 seeds


def test_a_frame_goes_through_the_table_encoder_first():
    frame = pd.DataFrame({"a": IMAGES[:, 0, 4], "b": np.where(S, "m", None), "c": IMAGES[:, 5, 0]})

    def make():
        return nn.Sequential(nn.LazyLinear(6), nn.ReLU())

    model = fitted(frame, encoder=make, learning_rate=0.03, lam=0.5)
    assert model.encoder_ is not None
    assert not hasattr(model, "item_shape_")
    assert model.score(frame, Y) > 0.85  # 1.0 over seeds 0 to 2


def test_a_path_shares_one_trunk_and_each_model_is_its_own():
    lams, models = fairness_path(
        IMAGES, Y, sensitive_features=S, estimator=small(max_iter=3), lams=[0, 1, 4]
    )
    assert [model.lam for model in models] == lams.tolist()
    first = models[0].trunk_
    assert all(model.trunk_ is first for model in models)
    scores = [model.decision_function(IMAGES) for model in models]
    assert not np.array_equal(scores[0], scores[2])


class Broken(Net):
    def __init__(self):
        super().__init__()
        self.n_calls = 0

    def forward(self, x):
        self.n_calls += self.training
        return super().forward(x) * (float("nan") if self.n_calls > 8 else 1.0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_last_good_state_of_the_trunk_is_kept():
    """It breaks in the third epoch of four steps."""
    model = fitted(encoder=Broken, max_iter=5)
    assert (model.stopped_, model.n_iter_) == ("diverged", 2)
    assert all(bool(p.isfinite().all()) for p in model.trunk_.parameters())
    expected = fitted(encoder=Net, max_iter=5, callbacks=[lambda r: r["epoch"] == 2])
    assert_same(weights_of(model.trunk_), weights_of(expected.trunk_))


def test_warm_start_goes_on_from_the_trained_trunk():
    model = fitted(max_iter=2, warm_start=True)
    before = weights_of(model.trunk_)
    trunk = model.trunk_
    model.set_params(learning_rate=1e-9).fit(IMAGES, Y, sensitive_features=S)
    assert model.trunk_ is not trunk
    for name, value in model.trunk_.named_parameters():
        torch.testing.assert_close(value.data, before[name], rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match=r"encoder was your own, but encoder=None now; set it"):
        model.set_params(encoder=None).fit(IMAGES[:, :, 0], Y, sensitive_features=S)


@pytest.mark.slow
def test_a_stream_trains_it_part_by_part():
    model = small(learning_rate=0.01)
    for _ in range(60):
        for part in (slice(0, N // 2), slice(N // 2, N)):
            model.partial_fit(IMAGES[part], Y[part], classes=[0, 1], sensitive_features=S[part])
    assert model.score(IMAGES, Y) > 0.85  # 0.94 to 1.0 over seeds 0 to 4
    assert model.t_ == 240
    saved = pickle.loads(pickle.dumps(model))
    for each in (model, saved):
        each.partial_fit(IMAGES, Y, sensitive_features=S)
    np.testing.assert_array_equal(model.transform(IMAGES), saved.transform(IMAGES))


BAD = {
    "no module": (lambda: 3, r"encoder=.* made 3; give a torch.nn.Module, or a callable"),
    "an argument wanted": (
        lambda width: nn.Linear(5, width),
        r"encoder=.* fails when it is called without an argument: TypeError",
    ),
    "an error inside": (
        lambda: nn.Linear(7, 3),
        r"encoder fails on a batch of X of shape \(2, 6, 5\), float32, .*permute",
    ),
    "no rank 2": (
        lambda: nn.Linear(5, 3),
        r"encoder gives shape \(2, 6, 3\) .* \(B, H\) is needed; end it by nn.Flatten",
    ),
    "rows lost": (
        lambda: nn.Flatten(0, 1),
        r"encoder gives shape \(12, 5\) .* and \(B, H\) is needed",
    ),
    "a tuple": (lambda: nn.LSTM(5, 3, batch_first=True), r"encoder gives a tuple .* a tensor"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_encoder_is_told_before_training(kind):
    make, message = BAD[kind]
    for classifier in (MIDebiasedClassifier, MIBackpropClassifier):
        with pytest.raises(ValueError, match=message):
            classifier(encoder=make).fit(IMAGES, Y, sensitive_features=S)


def test_features_that_are_no_numbers_are_told():
    net = Net()
    nn.init.constant_(net.body[1].bias, float("nan"))
    with pytest.raises(ValueError, match=r"floats \(torch.float32\) .*float32; check its weights"):
        fitted(encoder=net)
    with pytest.raises(ValueError, match=r"'encoder' parameter .* must be"):
        fitted(encoder=3)


def test_rows_that_do_not_fit_are_told():
    model = fitted(max_iter=1)
    with pytest.raises(ValueError, match=r"X has rows of shape \(5, 6\), but at fit .*\(6, 5\)"):
        model.predict(IMAGES.transpose(0, 2, 1))
    with pytest.raises(ValueError, match=r"X is a DataFrame, but at fit it was an array"):
        model.predict(pd.DataFrame(IMAGES[:, 0]))
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        model.predict(IMAGES[:0])
    odd = IMAGES / 255
    odd[5, 2, 2] = np.nan
    with pytest.raises(ValueError, match=r"X holds NaN or an infinite value in row 5; .* fill"):
        fitted(odd)
    with pytest.raises(SensitiveFeaturesError, match="sensitive_columns=0 are columns of a"):
        small(sensitive_columns=0).fit(IMAGES, Y)


def test_saved_and_loaded_it_predicts_the_same():
    model = fitted(max_iter=2)
    saved = pickle.dumps(model)
    np.testing.assert_array_equal(
        pickle.loads(saved).predict_proba(IMAGES), model.predict_proba(IMAGES)
    )
    assert all(p.grad is None for p in model.trunk_.parameters())
    assert len(saved) < 10_000  # 8,194 bytes: no images (4,800), no optimiser (2,300)


@pytest.mark.parametrize("fit", [False, True])
def test_skops_takes_no_module(tmp_path, fit):
    model = fitted(max_iter=1) if fit else small(encoder=Net())
    with pytest.raises(TypeError, match=r"skops saves no torch module, .* pickle or joblib"):
        skops.io.dump(model, tmp_path / "model.skops")


class Items(torch.utils.data.Dataset):
    """Images with their labels, that notes which it was asked for."""

    def __init__(self):
        self.asked = []

    def __len__(self):
        return N

    def __getitem__(self, position):
        self.asked.append(position)
        return torch.as_tensor(IMAGES[position]), int(Y[position])


def test_scikit_learn_reads_the_rows_of_a_fold_alone():
    items = Items()
    lazy = LazyArray(items)
    items.asked.clear()
    fold = [(np.arange(0, 60), np.arange(60, 80))]
    with sklearn.config_context(enable_metadata_routing=True):
        scores = cross_val_score(
            small(max_iter=1), lazy, Y, cv=fold, params={"sensitive_features": S}
        )
        assert len(scores) == 1
        assert set(items.asked) == set(range(80))
        search = GridSearchCV(
            small(max_iter=1), {"encoder": [Net, lambda: Net(4)]}, cv=fold, refit=False
        )
        search.fit(lazy, Y, sensitive_features=S)
        assert set(items.asked) == set(range(80))
    assert len(search.cv_results_["params"]) == 2


def test_a_memory_mapped_file_gives_the_same_fit(tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    expected = fitted(max_iter=1).transform(IMAGES)
    for x in (mapped, LazyArray(mapped), LazyArray(Items()), torch.as_tensor(IMAGES)):
        np.testing.assert_array_equal(fitted(x, max_iter=1).transform(x), expected)


@pytest.mark.slow
def test_finished_folds_are_kept_by_the_name_of_a_class(tmp_path):
    def searched(encoder):
        search = MIDebiasedClassifierCV(
            small(max_iter=1, encoder=encoder), lams=[0, 1], cv=2, bound=1.0, memory=tmp_path
        )
        return search.fit(IMAGES, Y, sensitive_features=S).predict(IMAGES)

    np.testing.assert_array_equal(searched(Net), searched(Net))
    with pytest.raises(ValueError, match=r"the torch module encoder has none; give its class"):
        searched(Net())


def test_weights_of_rows_and_classes_count():
    weights = np.where(np.arange(N) < 80, 1.0, 0.0)
    model = small(max_iter=2).fit(IMAGES, Y, sensitive_features=S, sample_weight=weights)
    part = small(max_iter=2).fit(IMAGES[:80], Y[:80], sensitive_features=S[:80])
    np.testing.assert_array_equal(model.transform(IMAGES), part.transform(IMAGES))
