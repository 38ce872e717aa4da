"""The paper's procedure on coloured digits as published: what it reaches over λ and over steps.

Run: OMP_NUM_THREADS=1 python benchmarks/published.py --digits mnist.npz --side 14 --rows 20000
     --lams 2 --output benchmarks/results/published.csv

K = 40 critic steps a batch, batches of 128, a rate of 1e-4, the network of `digits.py`. After each
epoch a row is written and the training is saved under --folder, from where the same command goes
on. λ and the step to stop at are chosen on held-out rows that are coloured as in training, by two
rules: the best accuracy under weights by which colour tells nothing (`shift_weights`), and, of the
states with an accuracy of .9 or more, that of which a fresh probe finds least. The test
part is read, and chooses nothing. "claim" is the critic's own estimate of I(Z; colour), "probe"
what a fresh probe finds of the channel that it finds most of, both in nats. "averaged" is the
accuracy in random colours of a state averaged over epochs, each of which weighs .8 of the next.
"""

from __future__ import annotations

import copy
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from digits import (
    BATCH_SIZE,
    Coloured,
    Digits,
    add_digit_options,
    digits_of,
    network,
    shift_weights,
)
from shared import Table, parser, print_machine, seconds_of
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

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

    def __init__(self, digits: Digits, folder: Path, **key: Any) -> None:
        self.key = key
        self.setting = digits.setting(key["rows"], key["variance"], key["seed"])
        name = "-".join(f"{value:g}" for value in key.values())
        self.path = folder / f"{name}.pt"
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
        self.training.networks.train()
        seconds, of_epoch = seconds_of(self.training.epoch)
        loss, claim = of_epoch[:, 0].tolist()
        self.seconds += seconds
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
                "as in training": float(right.mean()),
                "weighted": float(np.average(right, weights=weights)),
                "random": float((self.predict(test) == test.y).mean()),
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


def main() -> None:
    """Go on with the runs that are asked for, and write what is there."""
    made = parser(__doc__)
    add_digit_options(made)
    made.set_defaults(seeds=[0])
    made.add_argument("--rows", type=int, default=58_000, help="digits to train on")
    made.add_argument("--lams", type=float, nargs="+", default=[2.0])
    made.add_argument("--steps", type=int, default=3_000)
    made.add_argument("--folder", type=Path, default=Path("out/published"), help="saved trainings")
    options = made.parse_args()
    print_machine()
    digits, table = digits_of(options), Table(options.output, [*RUN, "step"])
    for setting in product(options.variances, options.lams, options.seeds):
        key = dict(zip(RUN, (options.side, options.rows, *setting), strict=True))
        run = Run(digits, options.folder, **key)
        for row in run.rows:
            table.add(row)
        while not run.rows or run.rows[-1]["step"] < options.steps:
            run.advance()
            table.add(run.rows[-1])
    shown = chosen(table.frame).drop(columns=["machine", "versions"], errors="ignore")
    print(shown.round(4).to_string(index=False))


if __name__ == "__main__":
    main()
