"""The paper's procedure on coloured digits as published: what it reaches over λ and over steps.

Run: OMP_NUM_THREADS=1 python benchmarks/published.py --digits mnist.npz --side 14 --rows 20000
     --lams 2 --output benchmarks/results/published.csv
     --picture benchmarks/results/published.png

K = 40 critic steps a batch, batches of 128, a rate of 1e-4, the network of `digits.py`. After each
epoch a row is written and the training is saved under --folder, from where the same command goes
on. λ and the step to stop at are chosen on held-out rows that are coloured as in training, by two
rules: the best accuracy under weights by which colour tells nothing (`shift_weights`), and, of the
states with an accuracy of .9 or more, that of which a fresh probe finds least. The test
part is read, and chooses nothing. "claim" is the critic's own estimate of I(Z; colour), "probe"
what a fresh probe finds of the channel that it finds most of, both in nats. "averaged" is the
accuracy in random colours of a state averaged over epochs, each of which weighs .8 of the next.

With --table, the same class on Adult's training rows, a third of them held out, sex to be taken
out: accuracy and the AUC of a fresh booster that learns sex from Z, for each λ and K, over steps.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import os
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import torch
from digits import BATCH_SIZE, Coloured, Digits, network, shift_weights
from shared import parser, print_machine, write
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fairmi import MIBackpropClassifier
from fairmi.compare._rows import adult_rows
from fairmi.dependence.sensitive_batch import SensitiveBatch
from fairmi.networks.backprop import Backprop, backprop_architecture
from fairmi.networks.model import trunk_of
from fairmi.networks.rows import TrainingRows

N_CRITIC_STEPS, RATE, N_BINS = 40, 1e-4, 8
COLUMNS = ("red", "green", "blue")
DECAY = 0.8  # of the average, over epochs
LEAST_ACCURACY = 0.9
RUN = ["side", "rows", "variance", "lam", "seed"]
CPU = torch.device("cpu")


class Run:
    """One training at one λ: its state, its file, and the rows of the table that it makes."""

    def __init__(self, digits: Digits, options: argparse.Namespace, **key: Any) -> None:
        self.key = key
        self.setting = digits.setting(key["rows"], key["variance"], key["seed"])
        name = "-".join(f"{value:g}" for value in key.values())
        self.path: Path = options.folder / f"{name}.pt"
        self.epoch, self.seconds = 0, 0.0
        self.rows: list[dict[str, Any]] = []
        train = self.setting.train
        with torch.random.fork_rng():
            torch.manual_seed(key["seed"])
            x = torch.from_numpy(train.x)
            trunk = trunk_of(network, x[:2], CPU)
        colours = SensitiveBatch.of_values(indicators(train.bins))
        data = TrainingRows(x, torch.tensor(train.y), torch.ones(1, len(x)), (colours,))
        self.training = Backprop(
            data,
            backprop_architecture(trunk.n_outputs, 10),
            trunk,
            lam=key["lam"],
            n_critic_steps=N_CRITIC_STEPS,
            batch_size=BATCH_SIZE,
            learning_rate=RATE,
            seed=key["seed"],
        )
        self.model = nn.ModuleList([trunk.module, self.training.networks])
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(DECAY))
        if self.path.exists():
            self._load()

    def advance(self) -> None:
        """Train for an epoch, measure, and save."""
        start = time.process_time()
        self.training.networks.train()
        loss, claim = self.training.epoch()[:, 0].tolist()
        self.seconds += time.process_time() - start
        self.training.networks.eval()
        self.average.update_parameters(self.model)
        self.epoch += 1
        train, held_out, test = self.setting.train, self.setting.held_out, self.setting.test
        right = self.predict(held_out) == held_out.y
        weights = shift_weights(train, held_out)
        self.rows.append(
            self.key
            | {
                "step": self.epoch * round(len(train.y) / BATCH_SIZE),
                "as in training": right.mean(),
                "weighted": np.average(right, weights=weights),
                "random": (self.predict(test) == test.y).mean(),
                "averaged": self.averaged_accuracy(test),
                "claim": claim,
                "probe": probed(self.represent(held_out).numpy(), held_out.bins),
                "task loss": loss,
                "seconds": self.seconds,
            }
        )
        self._save()

    def represent(self, rows: Coloured) -> Tensor:
        """Return Z (B, 64)."""
        with torch.no_grad():
            return self.training.networks.represent(torch.from_numpy(rows.x))[0]

    def predict(self, rows: Coloured) -> np.ndarray:
        """Return the class of each row."""
        with torch.no_grad():
            scores = self.training.networks.head(self.represent(rows)[None])[0]
        return scores.argmax(1).numpy()

    def averaged_accuracy(self, rows: Coloured) -> float:
        """Return the accuracy of the averaged state, and leave the training's own as it is."""
        own = copy.deepcopy(self.model.state_dict())
        self.model.load_state_dict(self.average.module.state_dict())
        accuracy = (self.predict(rows) == rows.y).mean()
        self.model.load_state_dict(own)
        return float(accuracy)

    def _parts(self) -> dict[str, Any]:
        of = self.training
        assert of.trunk is not None
        return {
            "trunk": of.trunk.module,
            "networks": of.networks,
            "critic": of.critic,
            "task": of.task_optimizer,
            "mi": of.mi_optimizer,
            "critic steps": of.critic_optimizer,
            "average": self.average,
        }

    def _save(self) -> None:
        state = {name: part.state_dict() for name, part in self._parts().items()}
        own = (self.epoch, self.seconds, self.rows, self.training.generator.get_state())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torch.save((state, own), self.path.with_suffix(".new"))
        self.path.with_suffix(".new").replace(self.path)  # a run that is killed leaves the old one

    def _load(self) -> None:
        state, own = torch.load(self.path, weights_only=False)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.epoch, self.seconds, self.rows, draws = own
        self.training.generator.set_state(draws)


def indicators(bins: pd.DataFrame) -> Tensor:
    """Return an indicator for each bin of each channel, (B, 24), as the authors' critic sees."""
    parts = [np.eye(N_BINS, dtype=np.float32)[bins[channel]] for channel in COLUMNS]
    return torch.from_numpy(np.concatenate(parts, axis=1))


def probed(z: np.ndarray, bins: pd.DataFrame) -> float:
    """Return the nats that boosting on half of the rows finds of a channel on the other half."""
    half, values = len(z) // 2, []
    for channel in COLUMNS:
        c = bins[channel].to_numpy()
        shares = np.bincount(c[:half], minlength=N_BINS) / half
        probe = HistGradientBoostingClassifier(max_iter=30, early_stopping=False, random_state=0)
        shares_of_rows = probe.fit(z[:half], c[:half]).predict_proba(z[half:])
        known = np.isin(c[half:], probe.classes_)
        column = np.searchsorted(probe.classes_, c[half:][known])
        likely = shares_of_rows[known][np.arange(known.sum()), column]
        values.append(np.log(likely / shares[c[half:][known]]).mean())
    return float(max(values))


def chosen(table: pd.DataFrame) -> pd.DataFrame:
    """Return for each side, number of rows, variance and seed the λ and step of each rule."""
    setting = ["side", "rows", "variance", "seed"]
    accurate = table[table["as in training"] >= LEAST_ACCURACY]
    rules = {
        "accuracy under weights": table.loc[table.groupby(setting)["weighted"].idxmax()],
        "least found": accurate.loc[accurate.groupby(setting)["probe"].idxmin()],
    }
    return pd.concat([rows.assign(rule=rule) for rule, rows in rules.items()])


def picture(table: pd.DataFrame, path: Path) -> None:
    """Draw accuracy above and nats below over steps, a column for each λ of the first setting."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    first = table[table["side"] == table["side"].iloc[0]]
    first = first[first["variance"] == first["variance"].min()]
    lams = sorted(first["lam"].unique())
    figure, axes = plt.subplots(
        2, len(lams), figsize=(2.4 * len(lams) + 1, 5), sharex=True, sharey="row",
        layout="constrained", squeeze=False,
    )  # fmt: skip
    lines = {
        "as in training": (0, "#4477aa", "held-out, coloured as in training"),
        "random": (0, "#ee6677", "test, random colours"),
        "claim": (1, "#4477aa", "the critic's claim"),
        "probe": (1, "#ee6677", "a fresh probe's finding"),
    }
    for place, lam in enumerate(lams):
        for number, (_, run) in enumerate(first[first["lam"] == lam].groupby("seed")):
            for name, (row, colour, label) in lines.items():
                label = label if number == 0 else "_"
                axes[row, place].plot(run["step"], run[name], color=colour, label=label)
        axes[0, place].set(title=f"λ = {lam:g}", ylim=(0, 1))
        axes[1, place].set(xlabel="steps", ylim=(0, None))
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("nats of colour in Z")
    for row in (0, 1):
        axes[row, -1].legend(fontsize=7)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def print_digits(options: argparse.Namespace) -> None:
    """Go on with the runs that are asked for, and write what is there."""
    folder = os.environ.get("FAIRMI_DATA")
    path = options.digits or (Path(folder) / "mnist.npz" if folder else None)
    digits = Digits(path, halved=options.side == 14)
    keys = [
        {"side": options.side, "rows": options.rows, "variance": v, "lam": lam, "seed": seed}
        for v in options.variances
        for seed in options.seeds
        for lam in options.lams
    ]
    there = options.output is not None and options.output.exists()
    table = pd.read_csv(options.output) if there else pd.DataFrame(columns=RUN)
    for key in keys:
        run = Run(digits, options, **key)
        while not run.rows or run.rows[-1]["step"] < options.steps:
            run.advance()
            print({k: round(float(v), 4) for k, v in run.rows[-1].items()}, flush=True)
            table = merged(table, run.rows)
            write(table, options.output)
    print(
        chosen(table)
        .drop(columns=["machine", "versions"], errors="ignore")
        .round(4)
        .to_string(index=False)
    )
    if options.picture is not None:
        picture(table, options.picture)


def print_table(options: argparse.Namespace) -> None:
    """Print and write what the procedure reaches on a table, every 500 steps or so."""
    rows = adult_rows("train").first(options.rows)
    parts = train_test_split(np.arange(len(rows)), test_size=1 / 3, random_state=0)
    train, other = map(rows.take, parts)
    half, lines = len(other) // 2, []
    n_steps = round(len(train) / BATCH_SIZE)  # of an epoch
    every = max(round(500 / n_steps), 1)
    for lam in options.lams:
        for n_critic_steps in options.critic_steps:
            for seed in options.seeds:
                key = {"lam": lam, "critic steps": n_critic_steps, "seed": seed}
                epochs = itertools.count(1)

                def measure(model: MIBackpropClassifier, key=key, epochs=epochs) -> float:
                    epoch = next(epochs)
                    if epoch % every == 0:
                        z = model.transform(other.X)
                        probe = HistGradientBoostingClassifier(max_iter=60, random_state=0)
                        found = probe.fit(z[:half], other.s[:half]).predict_proba(z[half:])[:, 1]
                        of_sex = {"probe AUC": roc_auc_score(other.s[half:], found)}
                        accuracy = model.score(other.X, other.y)
                        line = key | {"step": epoch * n_steps, "accuracy": accuracy} | of_sex
                        lines.append(line)
                        print(line, flush=True)
                    return epoch

                model = MIBackpropClassifier(
                    lam=lam,
                    n_critic_steps=n_critic_steps,
                    max_iter=round(options.steps / n_steps),
                    keep_best=measure,
                    random_state=seed,
                )
                model.fit(train.X, train.y, sensitive_features=train.s)
                write(pd.DataFrame(lines), options.output)


def merged(table: pd.DataFrame, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the table with the rows of a run, which take the place of its own there."""
    fresh = pd.DataFrame(rows)
    both = pd.concat([table.drop(columns=["machine", "versions"], errors="ignore"), fresh])
    last = both.drop_duplicates([*RUN, "step"], keep="last")
    return last.sort_values([*RUN, "step"], ignore_index=True)


def main() -> None:
    """Run the procedure on digits, or on a table."""
    made = parser(__doc__)
    made.add_argument("--digits", type=Path, help="mnist.npz; FAIRMI_DATA may name its folder")
    made.add_argument("--side", type=int, choices=(14, 28), default=28, help="pixels")
    made.add_argument("--rows", type=int, default=58_000, help="digits to train on")
    made.add_argument("--variances", type=float, nargs="+", default=[0.02])
    made.add_argument("--lams", type=float, nargs="+", default=[2.0])
    made.add_argument("--seeds", type=int, nargs="+", default=[0])
    made.add_argument("--steps", type=int, default=3_000)
    made.add_argument("--folder", type=Path, default=Path("out/published"), help="saved trainings")
    made.add_argument("--picture", type=Path, help="draw the table into this file")
    made.add_argument("--table", action="store_true", help="Adult in place of digits")
    made.add_argument("--critic-steps", type=int, nargs="+", default=[40], help="K, with --table")
    options = made.parse_args()
    print_machine()
    if options.table:
        print_table(options)
    else:
        print_digits(options)


if __name__ == "__main__":
    main()
