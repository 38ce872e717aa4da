"""What can be certified of a representation of Adult's test part, and at what accuracy.

Run: OMP_NUM_THREADS=1 python benchmarks/certificate.py
"""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fairlearn.metrics import demographic_parity_difference
from joblib import Parallel, delayed
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from fairmi import MIDebiasedClassifier
from fairmi.datasets import load_adult
from fairmi.metrics import certify


def certified(lam: float, n_levels: int, seed: int) -> dict[str, Any]:
    """Fit on the training part, certify on the test part, which took no part in training."""
    train, test = load_adult(subset="train"), load_adult(subset="test")
    sex = test.sensitive_features["sex"]
    with threadpool_limits(1):
        model = MIDebiasedClassifier(lam=lam, n_levels=n_levels, random_state=seed)
        model.fit(train.data, train.target, sensitive_features=train.sensitive_features["sex"])
    Z = model.transform(test.data)
    certificate = certify(Z, sex, confidence=0.95)
    y, predicted = test.target == ">50K", model.predict(test.data) == ">50K"
    return {
        "lam": lam,
        "n_levels": n_levels,
        "seed": seed,
        "accuracy": float((y == predicted).mean()),
        "roc_auc": roc_auc_score(y, model.predict_proba(test.data)[:, 1]),
        "dp": demographic_parity_difference(y, predicted, sensitive_features=sex),
        "values": len(np.unique(Z, axis=0)),
        "distance": certificate.distance,
        "bound": certificate.bound,
    }


def main() -> None:
    """Print the mean over seeds of each λ and number of levels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="fits side by side, a thread each")
    parser.add_argument("--lams", type=float, nargs="+", default=[4.0, 8.0, 12.0])
    parser.add_argument("--levels", type=int, nargs="+", default=[5, 9, 17])
    parser.add_argument("--output", type=Path, help="write the rows to this CSV file")
    options = parser.parse_args()
    versions = ", ".join(f"{p} {version(p)}" for p in ("torch", "scikit-learn", "fairlearn"))
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    print(f"{machine}; {versions}; one thread a fit")
    jobs = [
        (x, n, seed) for x in options.lams for n in options.levels for seed in range(options.seeds)
    ]
    rows = pd.DataFrame(
        Parallel(options.jobs, verbose=5)(delayed(certified)(*job) for job in jobs)
    )
    means = rows.drop(columns="seed").groupby(["lam", "n_levels"]).mean()
    means["worst bound"] = rows.groupby(["lam", "n_levels"]).bound.max()
    print(f"mean over {options.seeds} seeds, confidence 95 %, each certified alone")
    print(means.round(4).to_string())
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        rows.assign(machine=machine, versions=versions).round(5).to_csv(
            options.output, index=False
        )


if __name__ == "__main__":
    main()
