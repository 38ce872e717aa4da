"""The format of saved models: plain data under a version of its own, checked when it is loaded.

A file may come from anywhere, and what a model holds goes unchecked to compiled code, where a
wrong number reads memory that is not its own, or never ends. So each format has one function here
that refuses what does not fit, and names the field. Labels and categories of any type are saved as
plain data too.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from decimal import Decimal
from enum import Enum, EnumMeta
from fractions import Fraction
from itertools import pairwise
from typing import Any, NoReturn
from uuid import UUID

import numpy as np
import pandas as pd

from fairmi._sklearn_compat import NODE

FORMAT = 2
_KEY = "_format"
_N_PARTS = 4  # columns that a date has after it: parts of the calendar
_WORDS = 8  # of 32 bits each that hold a set of categories
_ARRAYS = (np.ndarray, np.memmap)  # joblib maps those of a file that it is told to
_TYPE, _PARTS = "fairmi type", "parts"  # keys of a dict, which no label is: it has no hash


def with_format(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state to save: labels of any type as plain data, and the version of the format."""
    return _to_plain(state) | {_KEY: FORMAT}


def of_this_format(state: dict[str, Any], kind: type) -> dict[str, Any]:
    """Return the saved state of an object of a class, without the version."""
    saved = state.get(_KEY)
    if saved != FORMAT:
        older = not isinstance(saved, int) or saved < FORMAT
        fix = "fit it anew and save it" if older else "upgrade fairmi"
        raise ValueError(
            f"This {kind.__name__} was saved in format {saved or 1}, and this fairmi reads format "
            f"{FORMAT}; {fix}."
        )
    for name in state:
        if callable(getattr(kind, name, None)):
            _refuse(name, "is that of a method")
    return {key: _from_plain(value) for key, value in state.items() if key != _KEY}


def check_header(state: Mapping[str, Any]) -> None:
    """Check what all fitted estimators hold: columns, how groups are read, and any classes."""
    if "classes_" in state:
        classes = _array(state["classes_"], "classes_", "biufOUSmM", (None,))
        if len(classes) < 2 or len(set(classes.tolist())) < len(classes):
            _refuse("classes_", "doesn't hold two labels or more, each once")
    elif "_kept" not in state:
        return
    width = _integer(state.get("n_features_in_"), "n_features_in_", 1)
    if "feature_names_in_" in state:
        names = _array(state["feature_names_in_"], "feature_names_in_", "O", (width,))
        if not all(isinstance(name, str) for name in names):
            _refuse("feature_names_in_", "holds what is no name")
    _positions(state.get("_kept"), "_kept", width)
    if "item_shape_" not in state and not state["_kept"]:
        _refuse("_kept", "is empty")
    _check_plan(_mapping(state.get("_sensitive_plan"), "_sensitive_plan"))
    for name, kind in (("warnings_", list), ("history_", list), ("stopped_", str | None)):
        if not isinstance(state.get(name), kind):
            _refuse(name, f"is a {type(state.get(name)).__name__}")


def check_trees(state: Mapping[str, Any]) -> None:
    """Check the trees of a saved model, their columns and their channel."""
    columns = _mapping(state.get("columns_"), "columns_")
    n_columns, n_encoded = _check_tree_columns(columns, len(state.get("_kept", ())))
    trees = _mapping(state.get("trees_"), "trees_")
    n_read = n_columns + n_encoded
    sizes = _array(trees.get("n_categories"), "trees_['n_categories']", "i", (n_read,))
    if not np.array_equal(sizes, np.append(columns["n_categories"], np.zeros(n_encoded))):
        _refuse("trees_['n_categories']", "differs from that of columns_")
    start = _floats(trees.get("start"), "trees_['start']", (_n_scores(state),))
    nodes: Any = trees.get("nodes")
    if type(nodes) not in _ARRAYS or nodes.dtype != NODE or nodes.ndim != 1:
        _refuse("trees_['nodes']", "has no nodes as this scikit-learn reads them")
    splits = _array(trees.get("left_categories"), "trees_['left_categories']", "u", (None, _WORDS))
    if splits.dtype != np.uint32:
        _refuse("trees_['left_categories']", f"has dtype {splits.dtype}")
    first_node = _starts(trees.get("first_node"), "trees_['first_node']", len(nodes))
    first_split = _starts(trees.get("first_split"), "trees_['first_split']", len(splits))
    if len(first_node) != len(first_split) or (len(first_node) - 1) % len(start):
        _refuse("trees_['first_node']", "doesn't have as many trees for each score")
    if (np.diff(first_node) < 1).any():
        _refuse("trees_['first_node']", "has a tree without a node")
    _check_nodes(nodes, first_node, np.diff(first_split), sizes)
    channel = _mapping(state.get("channel_"), "channel_")
    if channel.get("n_levels", 0) is not None:  # None: an open channel
        _integer(channel.get("n_levels"), "channel_['n_levels']", 2)
    if channel.get("kind", "tanh") not in ("tanh", "softmax"):
        _refuse("channel_['kind']", "is neither 'tanh' nor 'softmax'")
    _number(channel.get("centre", 0.0), "channel_['centre']")
    if _number(channel.get("scale", 2.0), "channel_['scale']") <= 0:
        _refuse("channel_['scale']", "is not above 0")


def check_networks(
    state: Mapping[str, Any], n_encoded: int | None, n_scores: int | None = None
) -> None:
    """Check the networks of a saved model; `n_encoded` columns come out of its encoder, if known.

    `n_scores` are those of its head; None for those of its classes, or of a number.
    """
    architecture = _mapping(state.get("architecture_"), "architecture_")
    sizes = {}
    for name in ("n_models", "n_inputs", "n_components", "n_outputs"):
        sizes[name] = _integer(architecture.get(name), f"architecture_[{name!r}]", 1)
    if architecture.get("n_levels") is not None:
        _integer(architecture["n_levels"], "architecture_['n_levels']", 2)
    if n_encoded is not None and sizes["n_inputs"] != n_encoded:
        _refuse("architecture_['n_inputs']", f"is not {n_encoded}, the columns of the encoder")
    if sizes["n_outputs"] != (_n_scores(state) if n_scores is None else n_scores):
        _refuse("architecture_['n_outputs']", "doesn't go with what the model tells")
    hidden = _layer_sizes(architecture.get("hidden_layer_sizes"), "hidden_layer_sizes")
    of_head = _layer_sizes(architecture.get("head_layer_sizes", ()), "head_layer_sizes")
    n_conditions = architecture.get("n_conditions", 0)
    n_conditions = _integer(n_conditions, "architecture_['n_conditions']", 0)
    widths = {
        "encoder": [sizes["n_inputs"], *hidden, sizes["n_components"]],
        "head": [sizes["n_components"] + n_conditions, *of_head, sizes["n_outputs"]],
    }
    parameters = _mapping(state.get("parameters_"), "parameters_")
    expected = {}
    for part, of in widths.items():
        for k in range(len(of) - 1):
            shape = (sizes["n_models"], of[k], of[k + 1])
            expected[f"{part}.layers.{k}.weight"] = shape
            expected[f"{part}.layers.{k}.bias"] = (shape[0], 1, shape[2])
    if parameters.keys() != expected.keys():
        _refuse("parameters_", f"has {sorted(parameters)}, not the layers of architecture_")
    for name, shape in expected.items():
        _floats(parameters[name], f"parameters_[{name!r}]", shape)


def _layer_sizes(sizes: Any, name: str) -> list[int]:
    if not isinstance(sizes, list | tuple):
        _refuse(f"architecture_[{name!r}]", "is no sequence")
    return [_integer(n, f"architecture_[{name!r}]", 1) for n in sizes]


def check_units(state: Mapping[str, Any]) -> None:
    """Check the units in which the networks of a saved regressor predict."""
    units = _mapping(state.get("units_"), "units_")
    if units.keys() != {"centre", "scale", "of_constant", "optimal", "explained", "ends"}:
        _refuse("units_", f"has {sorted(units)}")
    for name in ("centre", "scale", "of_constant", "optimal", "explained"):
        _number(units[name], f"units_[{name!r}]")
    _floats(np.asarray(units["ends"], dtype=np.float64), "units_['ends']", (None,))


def check_told_back(state: Mapping[str, Any], n_numbers: int | None) -> None:
    """Check the units of what a saved transformer tells back: of `n_numbers`, if that is known."""
    units = _mapping(state.get("units_"), "units_")
    if units.keys() != {"centre", "scale"}:
        _refuse("units_", f"has {sorted(units)}")
    centre = _floats(units["centre"], "units_['centre']", (n_numbers,))
    if (_floats(units["scale"], "units_['scale']", (len(centre),)) <= 0).any():
        _refuse("units_['scale']", "is not above 0")


def check_encoder(state: Mapping[str, Any]) -> None:
    """Check the columns and the layout of a saved `TableEncoder`."""
    if "columns_" not in state:
        return
    if state["columns_"] is None:
        scale = _floats(state.get("scale_"), "scale_", (None,))
        _positions(state.get("missing_"), "missing_", len(scale))
        return
    if not isinstance(state["columns_"], list):
        _refuse("columns_", "is no list")
    for column in state["columns_"]:
        _check_column(_mapping(column, "columns_"))
    n = len(state["columns_"])
    dates = _positions(state.get("dates_"), "dates_", n)
    for k, j in enumerate(dates):
        place = j + _N_PARTS * k
        if place + _N_PARTS >= n or not state["columns_"][place].get("is_date", False):
            _refuse("dates_", "names a column that is no date")
    layout = _mapping(state.get("layout_"), "layout_")
    source = _array(layout.get("source"), "layout_['source']", "i", (None,))
    if len(source) and not (source.min() >= 0 and source.max() < n):
        _refuse("layout_['source']", "names a column that is not there")
    n_ramped = _integer(layout.get("n_ramped"), "layout_['n_ramped']", 0, len(source))
    _integer(layout.get("n_indicators"), "layout_['n_indicators']", 0, len(source) - n_ramped)
    for name in ("offset", "mean"):
        _floats(layout.get(name), f"layout_[{name!r}]", (len(source),))
    for name in ("slope", "base"):
        _floats(layout.get(name), f"layout_[{name!r}]", (n_ramped,))


def _check_plan(plan: Mapping[str, Any]) -> None:
    names, plans = plan.get("names"), plan.get("plans")
    if not isinstance(names, list | tuple) or not isinstance(plans, list | tuple) or not plans:
        _refuse("_sensitive_plan", "has no names or no plans")
    if not isinstance(plan.get("separate"), bool):
        _refuse("_sensitive_plan['separate']", "is no truth value")
    widths = []
    for part in plans:
        part = _mapping(part, "_sensitive_plan['plans']")
        continuous = part.get("continuous")
        continuous = _array(continuous, "_sensitive_plan['continuous']", "b", (None,))
        for name in ("mean", "spread"):
            _floats(part.get(name), f"_sensitive_plan[{name!r}]", (int(continuous.sum()),))
        if not isinstance(part.get("labels"), tuple):
            _refuse("_sensitive_plan['labels']", "is no tuple")
        if part.get("missing") not in ("error", "category", "mask"):
            _refuse("_sensitive_plan['missing']", f"is {part.get('missing')!r}")
        widths.append(len(continuous))
    if sum(widths) != len(names):
        _refuse("_sensitive_plan['names']", "doesn't have a name for each column")


def _check_tree_columns(columns: Mapping[str, Any], n_read: int) -> tuple[int, int]:
    """Return the number of columns that trees read, of `n_read` of X, and that of encoded ones."""
    names, categories = columns.get("names"), columns.get("categories")
    if not isinstance(names, list) or not isinstance(categories, list):
        _refuse("columns_", "has no names or no categories")
    dates = _positions(columns.get("dates", []), "columns_['dates']", n_read)
    n = n_read + _N_PARTS * len(dates)
    if len(names) != n or len(categories) != n:
        _refuse("columns_['names']", f"has {len(names)} columns, not {n}")
    sizes = _array(columns.get("n_categories"), "columns_['n_categories']", "i", (n,))
    for j, (known, size) in enumerate(zip(categories, sizes.tolist(), strict=True)):
        if known is not None:
            _check_categories(known, "columns_['categories']")
        most = 0 if known is None else min(len(known), 255)
        if not 0 <= size <= most or (size == 0 and most):
            _refuse("columns_['n_categories']", f"is {size} for column {j}")
        if known is not None and (j in dates or j >= n_read):
            _refuse("columns_['dates']", "names a column of categories")
    encodings = columns.get("encodings", [])
    if not isinstance(encodings, list):
        _refuse("columns_['encodings']", "is no list")
    for encoding in encodings:
        numbers_of: dict[Any, Any] = dict(_mapping(encoding, "columns_['encodings']"))
        for column, numbers in numbers_of.items():
            if column not in np.flatnonzero(sizes).tolist():
                _refuse("columns_['encodings']", f"has {column!r}, no column of categories")
            _floats(numbers, "columns_['encodings']", (int(sizes[column]),))
    return n, sum(map(len, encodings))


def _check_nodes(
    nodes: np.ndarray, first_node: np.ndarray, n_splits: np.ndarray, sizes: np.ndarray
) -> None:
    """Check nodes (n_nodes,) of all trees, where each begins, and the splits that each has."""
    n_of = np.diff(first_node)
    tree = np.repeat(np.arange(len(n_of)), n_of)
    place = np.arange(len(nodes)) - first_node[tree]
    leaf, by_category = nodes["is_leaf"], nodes["is_categorical"]
    for name in ("is_leaf", "is_categorical", "missing_go_to_left"):
        if (nodes[name] > 1).any():
            _refuse(f"trees_['nodes'][{name!r}]", "is neither 0 nor 1")
    if not np.isfinite(nodes["value"][leaf == 1]).all():
        _refuse("trees_['nodes']['value']", "is not finite")
    inner = leaf == 0
    # A child after its parent, within the tree: so every walk ends, at a node of the tree.
    for name in ("left", "right"):
        child = nodes[name].astype(np.int64)
        if ((child <= place) | (child >= n_of[tree]))[inner].any():
            _refuse(f"trees_['nodes'][{name!r}]", "is no node of the tree after its parent")
    column = nodes["feature_idx"]
    if ((column < 0) | (column >= len(sizes)))[inner].any():
        _refuse("trees_['nodes']['feature_idx']", "is no column")
    split = inner & (by_category == 1)
    if (sizes[column[split]] == 0).any():
        _refuse("trees_['nodes']['is_categorical']", "is set for a column of numbers")
    if (nodes["bitset_idx"][split] >= n_splits[tree[split]]).any():
        _refuse("trees_['nodes']['bitset_idx']", "is no split of the tree")


def _check_column(column: Mapping[str, Any]) -> None:
    """Check one column of an encoder: its knots, or its categories."""
    kind, truths = column.get("kind"), ["has_missing"]
    if not isinstance(column.get("name"), str):
        _refuse("columns_['name']", "is no text")
    if kind == "numeric":
        knots = _floats(column.get("knots"), "columns_['knots']", (None,))
        if not len(knots) or (np.diff(knots) <= 0).any():
            _refuse("columns_['knots']", "doesn't rise")
        truths.append("is_date")
    elif kind == "categorical":
        truths.append("rest")
        _check_categories(column.get("categories"), "columns_['categories']")
        if column.get("rest") and not len(column["categories"]):
            _refuse("columns_['rest']", "is set without a category")
    else:
        _refuse("columns_['kind']", f"is {kind!r}")
    for name in truths:
        if not isinstance(column.get(name, False), bool):
            _refuse(f"columns_[{name!r}]", "is no truth value")
    fields = {"kind", "name", "knots" if kind == "numeric" else "categories", *truths}
    if column.keys() - fields:
        _refuse("columns_", f"has {sorted(map(str, column.keys() - fields))}")


def _check_categories(categories: Any, field: str) -> None:
    for value in _array(categories, field, "O", (None,)):
        if not isinstance(value, Hashable):
            _refuse(field, f"holds a {type(value).__name__}")
    if not pd.Index(categories, dtype=object).is_unique:
        _refuse(field, "has a value twice")


def _n_scores(state: Mapping[str, Any]) -> int:
    """Return the scores that classes have: one of two."""
    n_classes = len(state.get("classes_", (0, 1)))
    return 1 if n_classes == 2 else n_classes


def _starts(values: Any, field: str, n: int) -> np.ndarray:
    """Return where parts of n things begin, and n behind them, (n_parts + 1,)."""
    starts = _array(values, field, "i", (None,))
    if not len(starts) or starts[0] != 0 or starts[-1] != n or (np.diff(starts) < 0).any():
        _refuse(field, f"doesn't rise from 0 to {n}")
    return starts.astype(np.int64)


def _positions(values: Any, field: str, n: int) -> list[int]:
    """Return positions below n, each after the one before."""
    if not isinstance(values, list | tuple | np.ndarray):
        _refuse(field, "is no sequence")
    positions = [_integer(value, field, 0, n - 1) for value in values]
    if any(a >= b for a, b in pairwise(positions)):
        _refuse(field, "doesn't rise")
    return positions


def _array(values: Any, field: str, kinds: str, shape: Sequence[int | None]) -> np.ndarray:
    """Return an array of these kinds of dtype and of a shape, of which None is any size."""
    if type(values) not in _ARRAYS or values.dtype.kind not in kinds:
        _refuse(field, f"is a {type(values).__name__} of another kind")
    sizes = zip(values.shape, shape, strict=False)
    if values.ndim != len(shape) or any(n not in (None, size) for size, n in sizes):
        _refuse(field, f"has shape {values.shape}, not {tuple(shape)}")
    return values


def _floats(values: Any, field: str, shape: Sequence[int | None]) -> np.ndarray:
    array = _array(values, field, "f", shape)
    if not np.isfinite(array).all():
        _refuse(field, "holds what is no finite number")
    return array


def _mapping(value: Any, field: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        _refuse(field, f"is a {type(value).__name__}")
    return value


def _integer(value: Any, field: str, low: int, high: int = 2**31) -> int:
    is_integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_integer or not low <= value <= high:
        _refuse(field, f"is {value!r}")
    return int(value)


def _number(value: Any, field: str) -> float:
    is_number = isinstance(value, int | float | np.integer | np.floating)
    if not is_number or isinstance(value, bool) or not np.isfinite(value):
        _refuse(field, f"is {value!r}")
    return float(value)


def _refuse(field: str, why: str) -> NoReturn:
    raise ValueError(
        f"The saved model is damaged, or was made by hand: {field} {why[:200]}. Save it anew."
    )


def _to_plain(value: Any) -> Any:
    """Return a value with plain data in place of what is none, in dicts and sequences too."""
    if isinstance(value, Enum):
        kind = type(value)
        return {_TYPE: "Enum", _PARTS: [kind.__module__, kind.__qualname__, value.name]}
    for kind, (parts_of, _) in _TYPES.items():
        if type(value) is kind:
            return {_TYPE: kind.__name__, _PARTS: _to_plain(parts_of(value))}
    return _each(value, _to_plain)


def _from_plain(value: Any) -> Any:
    """Return what `_to_plain` was given."""
    if isinstance(value, dict) and value.keys() == {_TYPE, _PARTS}:
        return _rebuilt(value[_TYPE], _from_plain(value[_PARTS]))
    return _each(value, _from_plain)


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a dict, a sequence or an array of objects with what is in it changed."""
    if isinstance(value, dict):
        return {key: change(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(change(inner) for inner in value)
    if type(value) is np.ndarray and value.dtype == object:
        array = np.empty(value.size, dtype=object)
        array[:] = [change(inner) for inner in value.ravel()]
        return array.reshape(value.shape)
    return value


def _stamp_parts(stamp: pd.Timestamp) -> list[Any]:
    zone = None if stamp.tz is None else str(stamp.tz)
    return [stamp.isoformat(), stamp.unit, zone]


def _stamp(text: str, unit: str, zone: str | None) -> pd.Timestamp:
    stamp = pd.Timestamp(text).as_unit(unit)
    return stamp if zone is None else stamp.tz_convert(zone)


_TYPES: dict[type, tuple[Callable[[Any], list[Any]], Callable[..., Any]]] = {
    pd.Interval: (lambda v: [v.left, v.right, v.closed], pd.Interval),
    pd.Timestamp: (_stamp_parts, _stamp),
    pd.Timedelta: (
        lambda v: [v.value, v.unit],
        lambda n, unit: pd.Timedelta(n, unit="ns").as_unit(unit),
    ),
    pd.Period: (lambda v: [v.ordinal, v.freqstr], lambda n, f: pd.Period(ordinal=n, freq=f)),
    datetime.datetime: (lambda v: [v.isoformat()], datetime.datetime.fromisoformat),
    datetime.date: (lambda v: [v.isoformat()], datetime.date.fromisoformat),
    datetime.time: (lambda v: [v.isoformat()], datetime.time.fromisoformat),
    datetime.timedelta: (lambda v: [v.days, v.seconds, v.microseconds], datetime.timedelta),
    UUID: (lambda v: [str(v)], UUID),
    Decimal: (lambda v: [str(v)], Decimal),
    Fraction: (lambda v: [v.numerator, v.denominator], Fraction),
}


def _rebuilt(name: str, parts: list[Any]) -> Any:
    """Return a value of its parts; nothing is imported, so that no file can have code run."""
    for known, (_, rebuild) in _TYPES.items():
        if known.__name__ == name:
            return rebuild(*parts)
    if name != "Enum":
        raise ValueError(f"The saved model is damaged: it holds a value of the type {name!r}.")
    module, qualified, member = parts
    kind: Any = sys.modules.get(module)
    for part in qualified.split("."):
        kind = getattr(kind, part, None)
    if not isinstance(kind, EnumMeta) or member not in kind.__members__:
        raise ValueError(
            f"The saved model has the group or category {qualified}.{member}, an Enum of the "
            f"module {module}; import it before you load the model."
        )
    return kind[member]
