"""Digits whose colour, or whose turn and stroke, tells their class in training and not at test.

All methods, one network.

The paper's own procedure, which takes many more steps, has a benchmark of its own: published.py.

Run: OMP_NUM_THREADS=1 python benchmarks/digits.py --digits mnist.npz
     --output benchmarks/results/digits.csv --picture benchmarks/results/digits.png

mnist.npz holds train_images (60000, 28, 28), train_labels, test_images and test_labels (Y. LeCun,
C. Cortes, C. Burges, MNIST); FAIRMI_DATA may name its folder. Without either, scikit-learn's 1,797
small digits serve to see that it runs. Rows that the output file has already are not run again.

With --turned, the digits of a class are turned by an angle of their own and drawn with a stroke of
their own, with noise of that variance; both are quantities, and classes are of unequal size in
training (the largest has 7.5 times the rows of the smallest), alike at test.

With --unknown, coloured digits of which 5 in 100 have the colour of any class, and no method is
given the colour: three ways to pass on what a network of few steps has learned in its place.

With --hues, a module of the user's at default settings beside a plain torch loop of as many steps,
on 1,400 of scikit-learn's digits in three hues that follow the class in 90 of 100 rows. The others
are measured, in hues that do so too, and in permuted ones.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import torch
from scipy import ndimage
from shared import parser, print_machine, seconds_of, write
from sklearn.datasets import load_digits
from torch import nn

from fairmi import MIBackpropClassifier, MIDebiasedClassifier
from fairmi.datasets import make_biased_digits

LAMS = (0.3, 1.0)  # of which one is chosen on seed 0, by held-out rows
BATCH_SIZE = 128  # as published
N_HELD_OUT = 2_000
SETTING = ("method", "variance", "rows", "epochs", "seed", "lam")


class ChannelsFirst(nn.Module):
    """From (B, height, width, 3) to the order of torch's convolutions."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Permute a batch."""
        return x.permute(0, 3, 1, 2)


def network(channels: int = 3) -> nn.Module:
    """Return a network of a million multiply-adds on images of 28 x 28 x 3."""
    return nn.Sequential(
        ChannelsFirst(),
        nn.Conv2d(channels, 16, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.LazyLinear(128),
        nn.ReLU(),
    )


@dataclass(frozen=True)
class Coloured:
    """Images, labels, and what tells the labels: in bins, and as the quantities that it is."""

    x: np.ndarray
    y: np.ndarray
    bins: pd.DataFrame
    quantities: pd.DataFrame | None = None


@dataclass(frozen=True)
class Setting:
    """What a run learns from, and what it is measured on.

    `held_out` is coloured as `train` is, and alone serves the choice of λ; `test` has colours that
    tell nothing.
    """

    train: Coloured
    held_out: Coloured
    test: Coloured


def shrunk(images: np.ndarray) -> np.ndarray:
    """Return images of half the side, each pixel the mean of four."""
    n, height, width = images.shape
    return images.reshape(n, height // 2, 2, width // 2, 2).mean((2, 4)).astype(np.uint8)


class Digits:
    """Grey digits to train on and to test on, to be coloured or `turned`."""

    def __init__(
        self,
        path: Path | None,
        *,
        halved: bool = False,
        turned: bool = False,
        share: float = 1.0,
    ) -> None:
        self.turned, self.share = turned, share
        if path is None:
            small = load_digits()
            images = (small.images * (255 / 16)).astype(np.uint8)
            self.train = images[:1_400], small.target[:1_400]
            self.test = images[1_400:], small.target[1_400:]
            return
        with np.load(path) as file:
            self.train = file["train_images"], file["train_labels"]
            self.test = file["test_images"], file["test_labels"]
        if turned:  # to turn an image takes as long as to learn from it
            self.test = self.test[0][:1_000], self.test[1][:1_000]
        if halved:
            self.train, self.test = ((shrunk(x), y) for x, y in (self.train, self.test))

    def setting(self, rows: int, variance: float, seed: int) -> Setting:
        """Colour the first `rows` digits to train on, the last ones to hold out, and the test."""
        images, labels = self.train
        n_held_out = min(N_HELD_OUT, len(labels) // 5)
        rows = min(rows, len(labels) - n_held_out)

        def coloured(x: np.ndarray, y: np.ndarray, bias: float, part: int) -> Coloured:
            state = 10 * seed + part
            if self.turned:
                x, y = unequal(x, y, state) if bias else (x, y)
                return turned(x, y, variance, bias, state)
            made = make_biased_digits(x, y, variance=variance, bias=bias, random_state=state)
            return Coloured(*made)

        return Setting(
            coloured(images[:rows], labels[:rows], self.share, 0),
            coloured(images[-n_held_out:], labels[-n_held_out:], self.share, 1),
            coloured(*self.test, 0.0, 2),
        )


# Angle and stroke of each class, in order: neighbours in one are none in the other, nor digits.
TURNS = np.argsort([3, 7, 0, 5, 9, 2, 6, 1, 8, 4]) / 4.5 - 1
STROKES = np.argsort([5, 0, 8, 3, 1, 6, 9, 4, 2, 7]) / 4.5 - 1
LARGEST_TURN = 60  # degrees


def unequal(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a share of 0.8 to the power of k of the digits k."""
    taken = np.random.default_rng(seed).random(len(y)) < 0.8**y
    return x[taken], y[taken]


def turned(
    images: np.ndarray, labels: np.ndarray, variance: float, bias: float, seed: int
) -> Coloured:
    """Turn digits and draw their strokes thick or thin: by their class, or by one at random."""
    rng = np.random.default_rng(seed)
    classes = np.where(rng.random(len(labels)) < bias, labels, rng.integers(10, size=len(labels)))
    means = np.column_stack([TURNS[classes], STROKES[classes]])
    values = np.clip(means + rng.normal(scale=np.sqrt(variance), size=means.shape), -1.3, 1.3)
    x = np.empty_like(images)
    for k, (image, (angle, stroke)) in enumerate(zip(images, values, strict=True)):
        change = ndimage.grey_dilation if stroke > 0 else ndimage.grey_erosion
        share = min(abs(stroke), 1.0)
        drawn = (1 - share) * image + share * change(image, size=3 if stroke > 0 else 2)
        x[k] = ndimage.rotate(drawn, LARGEST_TURN * angle, reshape=False, order=1)
    quantities = pd.DataFrame(values, columns=["angle", "stroke"])
    edges = np.linspace(-1, 1, 9)[1:-1]
    return Coloured(x[..., None], labels, quantities.apply(np.digitize, bins=edges), quantities)


def plain(
    train: Coloured, seed: int, epochs: int, *, falls: bool = True
) -> Callable[[np.ndarray], np.ndarray]:
    """Train the network and a linear layer on the task alone; return what predicts.

    The rate of 0.001 `falls` by half a cosine, or stays.
    """
    torch.manual_seed(seed)
    model = nn.Sequential(network(train.x.shape[3]), nn.LazyLinear(10))
    x, y = train.x, torch.as_tensor(train.y)
    model(torch.zeros(1, *x.shape[1:]))
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    n_batches = max(round(len(x) / BATCH_SIZE), 1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * n_batches)
    for _ in range(epochs):
        for index in torch.tensor_split(torch.randperm(len(x)), n_batches):
            batch = torch.from_numpy(x[index.numpy()]).float() / 255
            loss = nn.functional.cross_entropy(model(batch), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if falls:
                schedule.step()

    def predict(rows: np.ndarray) -> np.ndarray:
        parts = np.array_split(rows, max(len(rows) // 256, 1))
        with torch.no_grad():
            found = [model(torch.from_numpy(part).float() / 255).argmax(1) for part in parts]
        return torch.cat(found).numpy()

    return predict


def ours(
    train: Coloured, seed: int, epochs: int, lam: float, parameters: dict[str, Any]
) -> Callable[[np.ndarray], np.ndarray]:
    """Train with a critic of its own for each attribute, of quantities where they are known."""
    sensitive = train.bins
    if train.quantities is not None and "prior_correction" not in parameters:
        sensitive = train.quantities
    model = MIDebiasedClassifier(
        encoder=partial(network, train.x.shape[3]),
        lam=dict.fromkeys(sensitive, lam),
        n_components=64,
        batch_size=BATCH_SIZE,
        max_iter=epochs,
        random_state=seed,
        **{"n_critic_steps": 1} | parameters,
    )
    return model.fit(train.x, train.y, sensitive_features=sensitive).predict


OPEN = {"n_levels": None}
CLOSED = {"n_levels": 17}
ODDS = {"constraint": "equalized_odds"}
PRIOR = {"prior_correction": True}
AS_PUBLISHED = {"n_critic_steps": 40, "learning_rate": 1e-4}
# Name, parameters, and whether there is a λ to choose. The last one is slow: run if it is named.
METHODS: dict[str, tuple[dict[str, Any], bool]] = {
    "plain": ({}, False),
    "parity, open": (OPEN, True),
    "parity, 17 levels": (CLOSED, True),
    "odds, open": (OPEN | ODDS, True),
    "odds, 17 levels": (CLOSED | ODDS, True),
    "prior": (OPEN | PRIOR, False),
    "prior and odds, open": (OPEN | PRIOR | ODDS, True),
    "prior and odds, steps as published": (OPEN | PRIOR | ODDS | AS_PUBLISHED, True),
}


def run(method: str, setting: Setting, seed: int, epochs: int, lam: float) -> dict[str, float]:
    """Train by a method; return what it reaches and the seconds of processor it takes."""
    parameters, _ = METHODS[method]
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # critics that are blind, as an open Z lets them be
        if method == "plain":
            predict = plain(setting.train, seed, epochs)
        else:
            predict = ours(setting.train, seed, epochs, lam, parameters)
    seconds = time.process_time() - start
    held_out, test = setting.held_out, setting.test
    predicted, predicted_test = predict(held_out.x), predict(test.x)
    right = predicted == held_out.y
    return {
        "accuracy": float((predicted_test == test.y).mean()),
        "held_out": float(right.mean()),
        "weighted": float(np.average(right, weights=shift_weights(setting.train, held_out))),
        "told": told(predicted_test, test),
        "told_held_out": told(predicted, held_out),
        "seconds": seconds,
    }


def told(predicted: np.ndarray, rows: Coloured) -> float:
    """Return what predictions tell of an attribute's bin by those who know the label, in nats.

    I(prediction; bin | label) counted on the rows, mean over attributes. Equalized odds are 0.
    """
    found = []
    for name in rows.bins:
        counts = np.zeros((10, 10, 8))
        np.add.at(counts, (rows.y, predicted, rows.bins[name]), 1)
        entropies = [_entropy(counts.sum(axis)) for axis in ((2,), (1,), (1, 2))]
        found.append(entropies[0] + entropies[1] - entropies[2] - _entropy(counts))
    return float(np.mean(found))


def _entropy(counts: np.ndarray) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def shift_weights(train: Coloured, rows: Coloured) -> np.ndarray:
    """Return p(y) / p(y | c) of rows, c the bins of all channels, counted on training rows.

    By these weights rows that are coloured as in training stand for rows whose colour tells
    nothing; no row of that kind is needed to choose λ.
    """
    cells = [tuple(row) for row in pd.concat([train.bins, rows.bins]).to_numpy()]
    codes, _ = pd.factorize(pd.Series(cells))
    shares = np.bincount(train.y, minlength=10) / len(train.y)
    counts = np.zeros((codes.max() + 1, 10))
    np.add.at(counts, (codes[: len(train.y)], train.y), 1)
    of_cell = (counts + shares) / (counts.sum(1, keepdims=True) + 1)
    later = codes[len(train.y) :]
    return shares[rows.y] / of_cell[later, rows.y]


class Table:
    """The rows of a run, which are written as they come."""

    def __init__(self, digits: Digits, options: argparse.Namespace) -> None:
        self.setting, self.options = cache(digits.setting), options
        path = options.output
        there = path is not None and path.exists()
        self.rows = pd.read_csv(path).to_dict("records") if there else []

    def row(
        self, method: str, rows: int, variance: float, seed: int, lam: float
    ) -> dict[str, Any]:
        """Return a row, run now unless it is there."""
        few = rows <= self.options.rows[0]
        epochs = self.options.epochs if few else self.options.long_epochs
        wanted = dict(zip(SETTING, (method, variance, rows, epochs, seed, lam), strict=True))
        for row in self.rows:
            if all(row[name] == value for name, value in wanted.items()):
                return row
        setting = self.setting(rows, variance, seed)
        made = wanted | run(method, setting, seed, epochs, lam)
        print(made, flush=True)
        self.rows.append(made)
        write(
            pd.DataFrame(self.rows).drop(columns=["machine", "versions"], errors="ignore"),
            self.options.output,
        )
        return made

    def lam_of(self, method: str, variance: float) -> float:
        """Return the λ whose held-out accuracy, by shift weights, is the best on seed 0."""
        if not METHODS[method][1]:
            return 0.0
        found = [self.row(method, self.options.rows[0], variance, 0, lam) for lam in LAMS]
        return float(max(found, key=lambda row: row["weighted"])["lam"])


def chosen(frame: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy at the λ that was chosen: mean, least and greatest over seeds."""
    parts = frame[frame["chosen"]].groupby(["rows", "epochs", "variance", "method"], sort=False)
    return parts.agg(
        lam=("lam", "first"),
        accuracy=("accuracy", "mean"),
        least=("accuracy", "min"),
        greatest=("accuracy", "max"),
        held_out=("held_out", "mean"),
        told=("told", "mean"),
        told_held_out=("told_held_out", "mean"),
        seeds=("seed", "count"),
        seconds=("seconds", "mean"),
    ).reset_index()


def picture(frame: pd.DataFrame, path: Path) -> None:
    """Draw accuracy on random colours: a bar for each method, a panel for each variance.

    A panel that would have one method alone is left out.
    """
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    panels = frame.groupby(["rows", "epochs", "variance"])
    parts = [(key, part) for key, part in panels if len(part) > 1]
    names = [name for name in METHODS if name in set(frame["method"])]
    figure, axes = plt.subplots(
        1, len(parts), figsize=(3.2 * len(parts) + 1.5, 3.4), sharey=True, layout="constrained"
    )
    for ax, ((rows, epochs, variance), part) in zip(np.atleast_1d(axes), parts, strict=True):
        spread = [part["accuracy"] - part["least"], part["greatest"] - part["accuracy"]]
        place = part["method"].map(names.index)
        ax.barh(place, part["accuracy"], xerr=spread, color="#4477aa", ecolor="#222222")
        ax.set_yticks(range(len(names)), names)
        ax.set(title=f"{rows:,} digits, {epochs} epochs,\nvariance {variance:g}")
        ax.set(xlim=(0, 1), xlabel="accuracy, mean and range of seeds")
        ax.grid(axis="x", alpha=0.3)
    np.atleast_1d(axes)[0].invert_yaxis()
    figure.savefig(path, dpi=110)


def hued(images: np.ndarray, labels: np.ndarray, share: float, seed: int) -> Coloured:
    """Colour digits red, green or blue: a `share` of them by their class, others at random."""
    rng = np.random.default_rng(seed)
    hue = rng.integers(3, size=len(labels))
    follows = rng.random(len(labels)) < share
    hue[follows] = labels[follows] % 3
    shades = np.where(np.eye(3, dtype=bool), 1.0, 0.2)[hue]
    x = (images[..., None] * shades[:, None, None]).astype(np.uint8)
    return Coloured(x, labels, pd.DataFrame({"hue": hue}))


def early_probabilities(train: Coloured, seed: int, epochs: int) -> np.ndarray:
    """Return what a network says of its own training rows after few steps, (n, 10).

    Its loss is (1 - p^0.7) / 0.7 of the label's probability p, which heeds rows that are easy
    (Zhang and Sabuncu, arXiv 1805.07836; to find shortcuts: Nam et al., arXiv 2007.02561).
    """
    torch.manual_seed(seed)
    model = nn.Sequential(network(train.x.shape[3]), nn.LazyLinear(10))
    x, y = torch.from_numpy(train.x).float() / 255, torch.as_tensor(train.y)
    model(x[:2])
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(epochs):
        for index in torch.randperm(len(x)).split(BATCH_SIZE):
            likely = model(x[index]).softmax(1).gather(1, y[index, None])
            optimizer.zero_grad()
            ((1 - likely**0.7) / 0.7).mean().backward()
            optimizer.step()
    with torch.no_grad():
        return model(x).softmax(1).numpy()


# What is passed on as the sensitive feature, of probabilities (n, 10) and labels, and parameters.
Passed = Callable[[np.ndarray, np.ndarray], np.ndarray]
UNKNOWN: dict[str, tuple[Passed, dict[str, Any]]] = {
    "conflict as a quantity, odds": (lambda p, y: 1 - p[np.arange(len(y)), y], OPEN | ODDS),
    "conflict or not, prior and odds": (
        lambda p, y: (p.argmax(1) != y).astype(int),
        OPEN | PRIOR | ODDS,
    ),
    "what the early network says, prior and odds": (
        lambda p, y: p.argmax(1),
        OPEN | PRIOR | ODDS,
    ),
}


def unknown_rows(digits: Digits, seed: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what is reached on held-out digits of random colours, colour unknown."""
    images, labels = digits.train
    n_held_out = min(N_HELD_OUT, len(labels) // 5)
    n, epochs = min(options.rows[0], len(labels) - n_held_out), options.epochs

    def coloured(part: slice, bias: float) -> Coloured:
        made = make_biased_digits(images[part], labels[part], bias=bias, random_state=seed)
        return Coloured(*made)

    train, other = coloured(slice(n), 0.95), coloured(slice(-n_held_out, None), 0.0)
    likely = early_probabilities(train, seed, options.early)
    known = PRIOR | ODDS | OPEN
    fits = [
        ("plain", 0.0, lambda: plain(train, seed, epochs)),
        ("colour known, prior and odds", 0.3, lambda: ours(train, seed, epochs, 0.3, known)),
    ]
    short = MIDebiasedClassifier(
        encoder=network, lam=0.0, batch_size=BATCH_SIZE, max_iter=options.early, random_state=seed
    )
    said = short.fit(train.x, train.y, sensitive_features=train.y).predict(train.x)
    early = {name: (passed(likely, train.y), more) for name, (passed, more) in UNKNOWN.items()}
    early["what a short fit at λ = 0 says, prior and odds"] = (said, known)
    for name, (passed, parameters) in early.items():
        as_if = replace(train, bins=pd.DataFrame({"early": passed}))
        fits += [(name, lam, partial(ours, as_if, seed, epochs, lam, parameters)) for lam in LAMS]
    rows = []
    for name, lam, fit in fits:
        accuracy = float((fit()(other.x) == other.y).mean())
        rows.append({"method": name, "seed": seed, "lam": lam, "accuracy": accuracy})
        print(rows[-1], flush=True)
    print(f"the early network is right on {(likely.argmax(1) == train.y).mean():.3f} of its rows")
    return rows


def print_unknown(options: argparse.Namespace, path: Path | None) -> None:
    """Print and write the rows of all seeds, their means and standard errors."""
    digits = Digits(path, halved=options.side == 14)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in `run`
        rows = [row for seed in options.seeds for row in unknown_rows(digits, seed, options)]
    frame = pd.DataFrame(rows)
    parts = frame.groupby(["method", "lam"], sort=False)["accuracy"]
    print(parts.agg(["mean", "sem"]).round(4).to_string())
    write(frame, options.output)


# Estimators at their defaults, but for what is asked of them.
DEFAULTS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "default, λ = 0": (MIDebiasedClassifier, {"lam": 0.0}),
    "default, prior and odds": (MIDebiasedClassifier, PRIOR | ODDS),
    "published, λ = 1": (MIBackpropClassifier, {}),  # takes minutes: on the first seed alone
}


def hue_rows(seed: int, methods: list[str], validate: bool) -> list[dict[str, Any]]:
    """Return what `methods` of DEFAULTS reach, and plain loops of as many steps as the first.

    With `validate` 1,050 of the rows to train on are learned from, and the other 350 measured.
    """
    digits = Digits(None)
    (images, labels), others = digits.train, digits.test
    if validate:
        order = np.random.default_rng(seed).permutation(len(labels))
        images, labels = images[order], labels[order]
        others = images[1_050:], labels[1_050:]
        images, labels = images[:1_050], labels[:1_050]
    train = hued(images, labels, 0.9, 10 * seed)
    alike, permuted = (hued(*others, share, 10 * seed + 1) for share in (0.9, 0.0))
    rows: list[dict[str, Any]] = []

    def add(name: str, epochs: int, seconds: float, predict: Any) -> None:
        reached = {
            place: float((predict(part.x) == part.y).mean())
            for place, part in (("alike", alike), ("permuted", permuted))
        }
        rows.append(
            {"method": name, "seed": seed, "epochs": epochs, **reached, "seconds": seconds}
        )
        print(rows[-1], flush=True)

    for name in methods:
        kind, parameters = DEFAULTS[name]
        model = kind(encoder=network, random_state=seed, **parameters)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # critics that are blind, as an open Z lets them be
            seconds, _ = seconds_of(
                partial(model.fit, train.x, train.y, sensitive_features=train.bins)
            )
        add(name, model.n_iter_, seconds, model.predict)
        if name == "default, λ = 0":  # beside loops of as many steps
            for loop_name, falls in (("plain loop", False), ("plain loop, falling rate", True)):
                loop = partial(plain, train, seed, model.n_iter_, falls=falls)
                seconds, predict = seconds_of(loop)
                add(loop_name, model.n_iter_, seconds, predict)
    return rows


def print_hues(options: argparse.Namespace) -> None:
    """Print and write what a user's module reaches at default settings, and its standard error."""
    *quick, published = DEFAULTS
    runs = [(seed, quick) for seed in options.seeds]
    if not options.validate:
        runs.append((options.seeds[0], [published]))
    rows = [row for seed, methods in runs for row in hue_rows(seed, methods, options.validate)]
    frame = pd.DataFrame(rows)
    parts = frame.groupby("method", sort=False)[["alike", "permuted", "epochs", "seconds"]]
    print(parts.agg(["mean", "sem"]).round(4).to_string())
    write(frame, options.output)


def main() -> None:
    """Run what is asked for, print the table, and write it."""
    made = parser(__doc__)
    made.add_argument("--digits", type=Path, help="mnist.npz; FAIRMI_DATA may name its folder")
    made.add_argument("--side", type=int, choices=(14, 28), default=28, help="pixels")
    made.add_argument("--rows", type=int, nargs="+", default=[10_000], help="digits to train on")
    made.add_argument("--variances", type=float, nargs="+", default=[0.02, 0.03, 0.05])
    made.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS)[:-1])
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    made.add_argument("--epochs", type=int, default=10)
    made.add_argument("--long-epochs", type=int, default=6, help="for more rows than the first")
    made.add_argument("--picture", type=Path, help="draw the table into this file")
    made.add_argument("--share", type=float, default=1.0, help="of rows that follow their class")
    made.add_argument("--turned", action="store_true", help="angle and stroke, not colour")
    made.add_argument("--unknown", action="store_true", help="without the colours instead")
    made.add_argument("--early", type=int, default=2, help="epochs of the early network")
    made.add_argument("--hues", action="store_true", help="a module at default settings instead")
    made.add_argument(
        "--validate", action="store_true", help="with --hues: on training rows alone"
    )
    options = made.parse_args()
    folder = os.environ.get("FAIRMI_DATA")
    path = options.digits or (Path(folder) / "mnist.npz" if folder else None)
    print_machine()
    if options.hues:
        print_hues(options)
        return
    if options.unknown:
        print_unknown(options, path)
        return
    digits = Digits(path, halved=options.side == 14, turned=options.turned, share=options.share)
    table = Table(digits, options)
    for rows in options.rows:
        for variance in options.variances:
            for method in options.methods:
                lam = table.lam_of(method, options.variances[0])
                for seed in options.seeds:
                    table.row(method, rows, variance, seed, lam)["chosen"] = True
    frame = pd.DataFrame(table.rows)
    frame["chosen"] = frame["chosen"].fillna(False).astype(bool)
    write(frame.drop(columns=["machine", "versions"], errors="ignore"), options.output)
    shown = chosen(frame)
    print(shown.round(4).to_string(index=False))
    if options.picture is not None:
        picture(shown, options.picture)


if __name__ == "__main__":
    main()
