"""Digits whose colour tells their class in training and not at test: all methods, one network.

The paper's own procedure, which takes many more steps, has a benchmark of its own: published.py.

Run: OMP_NUM_THREADS=1 python benchmarks/digits.py --digits mnist.npz
     --output benchmarks/results/digits.csv

mnist.npz holds train_images (60000, 28, 28), train_labels, test_images and test_labels (Y. LeCun,
C. Cortes, C. Burges, MNIST); FAIRMI_DATA may name its folder. Without either, scikit-learn's 1,797
small digits serve to see that it runs. Rows that the output file has already are not run again.

With --unknown, coloured digits of which 5 in 100 have the colour of any class, and what a fit of
few epochs says of a row in place of its colour.

With --hues, a module of the user's at default settings beside a plain torch loop of as many steps,
on 1,400 of scikit-learn's digits in three hues that follow the class in 90 of 100 rows. The others
are measured, in hues that do so too, and in permuted ones.
"""

from __future__ import annotations

import argparse
import os
import warnings
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from shared import Table, parser, print_machine, print_means, seconds_of
from sklearn.datasets import load_digits
from sklearn.metrics import mutual_info_score
from torch import nn

from fairmi import MIBackpropClassifier, MIDebiasedClassifier
from fairmi.datasets import make_biased_digits

LAMS = (0.3, 1.0)  # of which one is chosen on seed 0, by held-out rows
BATCH_SIZE = 128  # as published
N_HELD_OUT = 2_000
SETTING = ["method", "variance", "rows", "epochs", "seed", "lam"]

SMALL = {"n_components": 64, "batch_size": BATCH_SIZE, "n_critic_steps": 1}
OPEN, CLOSED = SMALL | {"n_levels": None}, SMALL | {"n_levels": 17}
ODDS = {"constraint": "equalized_odds"}
PRIOR = {"prior_correction": True}
# The last one is slow: run if it is named.
METHODS: dict[str, dict[str, Any]] = {
    "plain": {},
    "parity, open": OPEN,
    "parity, 17 levels": CLOSED,
    "odds, open": OPEN | ODDS,
    "odds, 17 levels": CLOSED | ODDS,
    "prior": OPEN | PRIOR,
    "prior and odds, open": OPEN | PRIOR | ODDS,
    "prior and odds, steps as published": OPEN
    | PRIOR
    | ODDS
    | {"n_critic_steps": 40, "learning_rate": 1e-4},
}
EARLY = "what a short fit says, prior and odds"
UNKNOWN = (("plain", 0.0), ("prior and odds, open", 0.3), (EARLY, 0.3), (EARLY, 1.0))
# Estimators at their defaults, but for what is asked of them, and loops of as many steps.
HUES: dict[tuple[str, float], dict[str, Any]] = {
    ("default", 0.0): {},
    ("plain, rate stays", 0.0): {},
    ("plain", 0.0): {},
    ("default, prior and odds", 1.0): PRIOR | ODDS,
    ("published", 1.0): {},  # takes minutes: on the first seed alone
}


class ChannelsFirst(nn.Module):
    """From (B, height, width, 3) to the order of torch's convolutions."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Permute a batch."""
        return x.permute(0, 3, 1, 2)


def network() -> nn.Module:
    """Return a network of a million multiply-adds on images of 28 x 28 x 3."""
    return nn.Sequential(
        ChannelsFirst(),
        nn.Conv2d(3, 16, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.LazyLinear(128),
        nn.ReLU(),
    )


@dataclass(frozen=True)
class Coloured:
    """Images, labels, and what tells the labels, in bins."""

    x: np.ndarray
    y: np.ndarray
    bins: pd.DataFrame


@dataclass(frozen=True)
class Setting:
    """What a run learns from, and what it is measured on.

    `held_out` is coloured as `train` is, and alone serves the choice of λ; `test` has colours that
    tell nothing.
    """

    train: Coloured
    held_out: Coloured
    test: Coloured


class Digits:
    """Grey digits to train on and to test on, to be coloured."""

    def __init__(self, path: Path | None, *, halved: bool = False) -> None:
        if path is None:
            small = load_digits()
            images = (small.images * (255 / 16)).astype(np.uint8)
            self.train = images[:1_400], small.target[:1_400]
            self.test = images[1_400:], small.target[1_400:]
            return
        with np.load(path) as file:
            self.train = file["train_images"], file["train_labels"]
            self.test = file["test_images"], file["test_labels"]
        if halved:
            self.train, self.test = ((shrunk(x), y) for x, y in (self.train, self.test))

    def setting(self, rows: int, variance: float, seed: int, *, unknown: bool = False) -> Setting:
        """Colour the first `rows` digits to train on, the last ones to hold out, and the test.

        Where colours are `unknown` some rows have another colour, and the test is of the last ones
        too.
        """
        images, labels = self.train
        n_held_out = min(N_HELD_OUT, len(labels) // 5)
        rows = min(rows, len(labels) - n_held_out)
        last = images[-n_held_out:], labels[-n_held_out:]
        parts = (images[:rows], labels[:rows]), last, (last if unknown else self.test)
        shares = (0.95, 0.95, 0.0) if unknown else (1.0, 1.0, 0.0)
        states = [seed] * 3 if unknown else [10 * seed + part for part in range(3)]
        coloured = (
            make_biased_digits(*part, variance=variance, bias=bias, random_state=state)
            for part, bias, state in zip(parts, shares, states, strict=True)
        )
        return Setting(*(Coloured(*part) for part in coloured))

    def hues(self, seed: int, *, validate: bool) -> Setting:
        """Colour all digits red, green or blue.

        With `validate` 1,050 of the rows to train on are learned from, the other 350 measured.
        """
        (images, labels), others = self.train, self.test
        if validate:
            order = np.random.default_rng(seed).permutation(len(labels))
            images, labels = images[order], labels[order]
            others = images[1_050:], labels[1_050:]
            images, labels = images[:1_050], labels[:1_050]
        alike, permuted = (hued(*others, share, 10 * seed + 1) for share in (0.9, 0.0))
        return Setting(hued(images, labels, 0.9, 10 * seed), alike, permuted)


def shrunk(images: np.ndarray) -> np.ndarray:
    """Return images of half the side, each pixel the mean of four."""
    n, height, width = images.shape
    return images.reshape(n, height // 2, 2, width // 2, 2).mean((2, 4)).astype(np.uint8)


def hued(images: np.ndarray, labels: np.ndarray, share: float, seed: int) -> Coloured:
    """Colour digits red, green or blue: a `share` of them by their class, others at random."""
    rng = np.random.default_rng(seed)
    hue = rng.integers(3, size=len(labels))
    follows = rng.random(len(labels)) < share
    hue[follows] = labels[follows] % 3
    shades = np.where(np.eye(3, dtype=bool), 1.0, 0.2)[hue]
    x = (images[..., None] * shades[:, None, None]).astype(np.uint8)
    return Coloured(x, labels, pd.DataFrame({"hue": hue}))


class Plain:
    """The network and a linear layer, trained on the task alone.

    The rate of 0.001 `falls` by half a cosine, or stays.
    """

    def __init__(self, train: Coloured, seed: int, epochs: int, *, falls: bool) -> None:
        torch.manual_seed(seed)
        self.model, self.n_iter_ = nn.Sequential(network(), nn.LazyLinear(10)), epochs
        x, y = train.x, torch.as_tensor(train.y)
        self.model(torch.zeros(1, *x.shape[1:]))
        optimizer = torch.optim.AdamW(self.model.parameters(), fused=True)
        n_batches = max(round(len(x) / BATCH_SIZE), 1)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * n_batches)
        for _ in range(epochs):
            for index in torch.tensor_split(torch.randperm(len(x)), n_batches):
                batch = torch.from_numpy(x[index.numpy()]).float() / 255
                loss = nn.functional.cross_entropy(self.model(batch), y[index])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if falls:
                    schedule.step()

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Return the class of each row."""
        parts = np.array_split(rows, max(len(rows) // 256, 1))
        with torch.no_grad():
            scores = [self.model(torch.from_numpy(part).float() / 255) for part in parts]
        return torch.cat(scores).argmax(1).numpy()


def fitted(method: str, train: Coloured, seed: int, epochs: int, lam: float, early: int) -> Any:
    """Return a model that a method makes of rows."""
    if method.startswith("plain"):
        return Plain(train, seed, epochs, falls=method == "plain")
    own = {"encoder": network, "random_state": seed}
    if (method, lam) in HUES:
        kind = MIBackpropClassifier if method == "published" else MIDebiasedClassifier
        model = kind(lam=lam, **own, **HUES[method, lam])
        return model.fit(train.x, train.y, sensitive_features=train.bins)
    if method == EARLY:
        short = MIDebiasedClassifier(lam=0.0, batch_size=BATCH_SIZE, max_iter=early, **own)
        said = short.fit(train.x, train.y, sensitive_features=train.y).predict(train.x)
        train, method = replace(train, bins=pd.DataFrame({"early": said})), "prior and odds, open"
    lams = dict.fromkeys(train.bins, lam)  # a critic of its own for each attribute
    model = MIDebiasedClassifier(lam=lams, max_iter=epochs, **own, **METHODS[method])
    return model.fit(train.x, train.y, sensitive_features=train.bins)


def run(
    method: str, setting: Setting, seed: int, epochs: int, lam: float, early: int = 2
) -> dict[str, float]:
    """Train by a method; return what it reaches, its epochs and the seconds of processor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # critics that are blind, as an open Z lets them be
        seconds, model = seconds_of(
            lambda: fitted(method, setting.train, seed, epochs, lam, early)
        )
    held_out, test = setting.held_out, setting.test
    predicted, predicted_test = model.predict(held_out.x), model.predict(test.x)
    right = predicted == held_out.y
    return {
        "epochs": model.n_iter_,
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
    total = 0.0
    for y in np.unique(rows.y):
        here = rows.y == y
        nats = [mutual_info_score(predicted[here], rows.bins[name][here]) for name in rows.bins]
        total += here.mean() * np.mean(nats)
    return float(total)


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


def print_colours(digits: Digits, options: argparse.Namespace) -> None:
    """Print what each method reaches at the λ that was chosen: mean, least and greatest."""
    table, settings = Table(options.output, SETTING), cache(digits.setting)

    def row(
        method: str, rows: int, variance: float, seed: int, lam: float, *, chosen: bool = False
    ) -> dict[str, Any]:
        few = rows <= options.rows[0]
        epochs = options.epochs if few else options.long_epochs
        key = (method, variance, rows, epochs, seed, lam)
        there = table.find(*key)
        made = there or dict(zip(SETTING, key, strict=True)) | run(
            method, settings(rows, variance, seed), seed, epochs, lam
        )
        made = made | {"chosen": chosen or bool(made.get("chosen", False))}
        if made != there:
            table.add(made)
        return made

    for rows in options.rows:
        for variance in options.variances:
            for method in options.methods:
                lam = 0.0
                if method not in ("plain", "prior"):  # the best by shift weights on seed 0
                    first = (options.rows[0], options.variances[0], 0)
                    lam = max(LAMS, key=lambda lam, m=method, f=first: row(m, *f, lam)["weighted"])
                for seed in options.seeds:
                    row(method, rows, variance, seed, lam, chosen=True)
    parts = table.frame[table.frame["chosen"]].groupby(
        ["rows", "epochs", "variance", "method"], sort=False
    )
    means = ["held_out", "told", "told_held_out", "seconds"]
    shown = (
        parts["accuracy"].agg(["mean", "min", "max", "count"]).join(parts[["lam", *means]].mean())
    )
    print(shown.round(4).to_string())


def print_unknown(digits: Digits, options: argparse.Namespace) -> None:
    """Print and write what is reached on held-out digits of random colours, colour unknown."""
    table, rows = Table(options.output, ["method", "seed", "lam"]), options.rows[0]
    for seed in options.seeds:
        setting = digits.setting(rows, options.variances[0], seed, unknown=True)
        for method, lam in UNKNOWN:
            reached = run(method, setting, seed, options.epochs, lam, options.early)
            table.add({"method": method, "seed": seed, "lam": lam} | reached)
    print_means(table.frame, ["method", "lam"], ["accuracy"])


def print_hues(digits: Digits, options: argparse.Namespace) -> None:
    """Print and write what a user's module reaches at default settings, and its standard error."""
    table = Table(options.output, ["method", "seed", "lam"])
    for seed in options.seeds:
        setting, epochs = digits.hues(seed, validate=options.validate), 0
        for method, lam in HUES:
            if method != "published" or (seed == options.seeds[0] and not options.validate):
                reached = run(method, setting, seed, epochs, lam)
                epochs = epochs or int(reached["epochs"])
                table.add({"method": method, "seed": seed, "lam": lam} | reached)
    print_means(table.frame, ["method", "lam"], ["held_out", "accuracy", "epochs", "seconds"])


def add_digit_options(made: argparse.ArgumentParser) -> None:
    """Let a script choose its digits."""
    made.add_argument("--digits", type=Path, help="mnist.npz; FAIRMI_DATA may name its folder")
    made.add_argument("--side", type=int, choices=(14, 28), default=28, help="pixels")
    made.add_argument("--variances", type=float, nargs="+", default=[0.02])
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])


def digits_of(options: argparse.Namespace) -> Digits:
    """Return the digits that are asked for."""
    folder = os.environ.get("FAIRMI_DATA")
    path = options.digits or (Path(folder) / "mnist.npz" if folder else None)
    return Digits(path, halved=options.side == 14)


def main() -> None:
    """Run what is asked for, print the table, and write it."""
    made = parser(__doc__)
    add_digit_options(made)
    made.set_defaults(variances=[0.02, 0.03, 0.05])
    made.add_argument("--rows", type=int, nargs="+", default=[10_000], help="digits to train on")
    made.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS)[:-1])
    made.add_argument("--epochs", type=int, default=10)
    made.add_argument("--long-epochs", type=int, default=6, help="for more rows than the first")
    made.add_argument("--unknown", action="store_true", help="without the colours instead")
    made.add_argument("--early", type=int, default=2, help="epochs of the short fit")
    made.add_argument("--hues", action="store_true", help="a module at default settings instead")
    made.add_argument("--validate", action="store_true", help="hues: on training rows alone")
    options = made.parse_args()
    print_machine()
    if options.hues:
        print_hues(Digits(None), options)
    elif options.unknown:
        print_unknown(digits_of(options), options)
    else:
        print_colours(digits_of(options), options)


if __name__ == "__main__":
    main()
