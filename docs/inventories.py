"""Inventories of other packages' documentation, for a site that is built without a network.

Sphinx reads from an inventory which page documents a name. The real ones are on the packages' own
sites; these hold the names that we mention, and the pattern of their addresses.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import NamedTuple


class Site(NamedTuple):
    """A package's site, where a name's page is, and the names by kind."""

    address: str
    page: str  # `$` stands for the name, as in an inventory
    names: dict[str, tuple[str, ...]]


SITES = {
    "sklearn": Site(
        "https://scikit-learn.org/stable/",
        "modules/generated/$.html",
        {
            "class": (
                "sklearn.calibration.CalibratedClassifierCV",
                "sklearn.compose.ColumnTransformer",
                "sklearn.ensemble.HistGradientBoostingClassifier",
                "sklearn.ensemble.HistGradientBoostingRegressor",
                "sklearn.exceptions.ConvergenceWarning",
                "sklearn.frozen.FrozenEstimator",
                "sklearn.linear_model.LogisticRegression",
                "sklearn.model_selection.GridSearchCV",
                "sklearn.model_selection.HalvingGridSearchCV",
                "sklearn.model_selection.StratifiedKFold",
                "sklearn.model_selection.TunedThresholdClassifierCV",
                "sklearn.pipeline.Pipeline",
                "sklearn.preprocessing.OneHotEncoder",
                "sklearn.preprocessing.StandardScaler",
                "sklearn.utils.Bunch",
            ),
            "function": (
                "sklearn.base.clone",
                "sklearn.inspection.permutation_importance",
                "sklearn.model_selection.cross_val_predict",
                "sklearn.model_selection.cross_validate",
                "sklearn.model_selection.train_test_split",
                "sklearn.pipeline.make_pipeline",
                "sklearn.set_config",
            ),
        },
    ),
    "fairlearn": Site(
        "https://fairlearn.org/main/",
        "api_reference/generated/$.html",
        {
            "class": (
                "fairlearn.adversarial.AdversarialFairnessClassifier",
                "fairlearn.metrics.MetricFrame",
                "fairlearn.postprocessing.ThresholdOptimizer",
                "fairlearn.preprocessing.CorrelationRemover",
                "fairlearn.reductions.BoundedGroupLoss",
                "fairlearn.reductions.ExponentiatedGradient",
                "fairlearn.reductions.GridSearch",
            ),
            "function": (
                "fairlearn.metrics.demographic_parity_difference",
                "fairlearn.metrics.equalized_odds_difference",
            ),
        },
    ),
    "numpy": Site(
        "https://numpy.org/doc/stable/",
        "reference/generated/$.html",
        {"class": ("numpy.ndarray",), "function": ("numpy.quantile",)},
    ),
    "pandas": Site(
        "https://pandas.pydata.org/docs/",
        "reference/api/$.html",
        {
            "class": ("pandas.DataFrame", "pandas.Series"),
            "function": ("pandas.cut", "pandas.read_csv", "pandas.read_parquet"),
        },
    ),
    "torch": Site(
        "https://docs.pytorch.org/docs/stable/",
        "generated/$.html",
        {
            "class": ("torch.nn.Module", "torch.utils.data.DataLoader"),
            "function": ("torch.compile", "torch.set_num_threads"),
        },
    ),
    "scipy": Site(
        "https://docs.scipy.org/doc/scipy/",
        "reference/generated/$.html",
        {"function": ("scipy.stats.ks_2samp", "scipy.stats.wasserstein_distance")},
    ),
}
# Pages that the pattern of their site misses.
ELSEWHERE = {"torch.utils.data.DataLoader": "data.html#$"}


def write_inventories(folder: Path) -> dict[str, tuple[str, str]]:
    """Write one inventory for each site, and return what `intersphinx_mapping` asks for."""
    folder.mkdir(parents=True, exist_ok=True)
    for package, site in SITES.items():
        lines = [
            f"{name} py:{kind} 1 {ELSEWHERE.get(name, site.page + '#$')} -"
            for kind, names in site.names.items()
            for name in names
        ]
        head = f"# Sphinx inventory version 2\n# Project: {package}\n# Version: \n"
        head += "# The remainder of this file is compressed using zlib.\n"
        body = "".join(line.replace("$", line.split()[0]) + "\n" for line in lines)
        (folder / f"{package}.inv").write_bytes(head.encode() + zlib.compress(body.encode()))
    return {
        package: (site.address, str(folder / f"{package}.inv")) for package, site in SITES.items()
    }
