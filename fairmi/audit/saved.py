"""A saved model, from a file that may come from anywhere: nothing in it runs unless trusted."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import joblib

# Every type of fairmi that a saved model holds, by its whole name. A prefix would not do: skops
# looks a name up attribute by attribute, so one that begins with "fairmi." can end anywhere.
SKOPS_TRUSTED_TYPES = (
    "fairmi.FairThresholdClassifier",
    "fairmi.MIBackpropClassifier",
    "fairmi.MIBoostingClassifier",
    "fairmi.MIBoostingRegressor",
    "fairmi.MIDebiasedClassifier",
    "fairmi.MIDebiasedClassifierCV",
    "fairmi.MIDebiasedRegressor",
    "fairmi.MIDebiasedRegressorCV",
    "fairmi.MIDebiasedTransformer",
    "fairmi.decisions.boosting.AveragedBoosting",
    "fairmi.preprocessing.TableEncoder",
    "fairmi.dependence.BarberAgakov",
    "fairmi.dependence.CLUB",
    "fairmi.dependence.CharacteristicFunction",
    "fairmi.dependence.CrossSample",
    "fairmi.dependence.DonskerVaradhan",
    "fairmi.dependence.HGR",
    "fairmi.dependence.HSIC",
    "fairmi.dependence.InfoNCE",
    "fairmi.dependence.MINE",
    "fairmi.dependence.MMD",
    "fairmi.dependence.NWJ",
    "fairmi.dependence.SMILE",
    "fairmi.dependence.SlicedInfomin",
)


# What a .skops file may unpack to, unless it is as large itself: skops stores models as they are.
_MAX_UNPACKED, _READ_AT_ONCE = 2**28, 2**20


def load_model(path: Path, *, trust_pickle: bool = False) -> Any:
    """Return the model that a .skops file holds, or a pickle or joblib file if it is trusted.

    Such a file runs whatever code is in it. ValueError where there is no such file, it is no
    model, holds types that are not trusted, or is a pickle and these are not.
    """
    if not path.is_file():
        raise ValueError(f"{path} is not a file; give a model saved by skops, pickle or joblib.")
    is_skops = path.suffix == ".skops"
    if not is_skops and not trust_pickle:
        raise ValueError(
            f"{path} is not a .skops file, and any other is loaded as a pickle, which runs the "
            "code that is in it. If you know where it comes from, add --trust-pickle; else have "
            "it saved by skops.io.dump."
        )
    if is_skops:
        from skops import io
    unknown: list[str] = []
    try:
        if is_skops:
            data = _unpacked(path)
            unknown = sorted(set(io.get_untrusted_types(data=data)) - set(SKOPS_TRUSTED_TYPES))
            model = None if unknown else io.loads(data, trusted=list(SKOPS_TRUSTED_TYPES))
        else:
            model = joblib.load(path)
        if not unknown and not hasattr(model, "predict"):
            raise TypeError(f"it holds a {type(model).__name__}, which has no predict")
    except Exception as error:  # what a file that is no model raises depends on its first bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} is no saved model: {reason[:200]}.") from error
    if unknown:
        raise ValueError(
            f"{path} holds what fairmi does not trust: {', '.join(unknown)}. Nothing was loaded. "
            "If you know these, load the model in Python with skops.io.load(path, trusted=[...]) "
            "and give it to fairmi.audit.audit."
        )
    return model


def _unpacked(path: Path) -> bytes:
    """Return a .skops file with nothing in it compressed, so that no entry can fill the memory.

    What an entry says of its own size need not be so: it is read a part at a time.
    """
    allowed = max(_MAX_UNPACKED, 4 * path.stat().st_size)
    copy, size = BytesIO(), 0
    with zipfile.ZipFile(path) as packed, zipfile.ZipFile(copy, "w") as plain:
        for name in dict.fromkeys(packed.namelist()):
            kind = packed.getinfo(name).compress_type
            if kind not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(
                    "it is compressed in a way that can't be read in parts; save it "
                    "by skops.io.dump without one"
                )
            with packed.open(name) as source, plain.open(name, "w", force_zip64=True) as target:
                while part := source.read(_READ_AT_ONCE):
                    size += len(part)
                    if size > allowed:
                        raise ValueError(
                            f"it unpacks to more than {allowed // 2**20} MB; save it without "
                            "compression, or load it in Python by skops.io.load"
                        )
                    target.write(part)
    return copy.getvalue()
