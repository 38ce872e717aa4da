"""Fitted networks in numpy: rows -> Z -> scores, in parts of bounded memory, without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fairmi._data.tables import ArrayRows, Table, blocks_of
from fairmi.core.channel import Channel
from fairmi.preprocessing import TableEncoder
from fairmi.preprocessing.table_encoder import hash_rows

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)

Layer = tuple[np.ndarray, np.ndarray]
"""Weight (M, n_in, n_out) and bias (M, 1, n_out) of M models, float64."""


class NumpyNetworks:
    """Encoder, channel and head of M models at inference: `Networks` of the same parameters.

    In float64 a row's place among others, on which the last bits of a matrix product hang, can't
    move a unit over the edge between two levels of Z. What comes after the rounding is summed
    number by number in one order, so that rows of one Z have the same scores to the bit.

    Parameters
    ----------
    architecture : mapping
        As `Networks` takes it; open units are bounded where it says `squashed`.
    parameters : mapping
        Named as in `Networks.arrays`.
    """

    def __init__(
        self, architecture: Mapping[str, Any], parameters: Mapping[str, np.ndarray]
    ) -> None:
        self.encoder, self.head = (_layers(of, parameters) for of in ("encoder", "head"))
        self.n_levels: int | None = architecture["n_levels"]
        self.squashed = self.n_levels is not None or bool(architecture.get("squashed"))
        self.dither = bool(architecture.get("dither"))

    @property
    def n_models(self) -> int:
        """Models M."""
        return len(self.head[0][0])

    @property
    def widest(self) -> int:
        """Numbers of the widest layer of a row."""
        return max(max(weight.shape[1:]) for weight, _ in self.encoder)

    def represent(self, x: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Return Z, (M, B, D), of rows x (B, P), or of features x of `rows` (B, ...)."""
        noise = None
        if self.dither:
            n_units = self.encoder[-1][0].shape[2]
            noise = noise_of_rows(x if rows is None else rows.reshape(len(rows), -1), n_units)
        x = x.astype(np.float64)
        models = range(self.n_models)
        return np.stack([self._channel(self._encoded(x, model), noise) for model in models])

    def mean_scores(self, z: np.ndarray) -> np.ndarray:
        """Return the mean over the models, (B, K), of the scores of their Z (M, B, D).

        What else a head reads in training is 0: of no group more than of another.
        """
        (weight, bias), *deeper = self.head
        scores = bias + np.zeros((*z.shape[:2], 1))
        for unit in range(z.shape[2]):
            scores += z[:, :, unit, None] * weight[:, None, unit]
        for weight, bias in deeper:
            scores = np.maximum(scores, 0) @ weight + bias
        return scores.mean(axis=0)

    def representation(self, x: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Return Z of rows as `represent`: of one network (B, D); of several, mean scores (B, K).

        Networks trained side by side do not know of each other: units of all of them together
        tell of C what none of them tells alone, and more than the mean of their scores does.
        """
        z = self.represent(x, rows)
        return z[0] if len(z) == 1 else self.mean_scores(z)

    def scores_of(self, z: np.ndarray) -> np.ndarray:
        """Return the scores, (B, K), of a representation."""
        return z if self.n_models > 1 else self.mean_scores(z[None])

    def _encoded(self, x: np.ndarray, model: int) -> np.ndarray:
        for depth, (weight, bias) in enumerate(self.encoder):
            if depth:
                np.maximum(x, 0, out=x)
            x = x @ weight[model]
            x += bias[model]
        return x

    def _channel(self, h: np.ndarray, noise: np.ndarray | None) -> np.ndarray:
        if not self.squashed:
            return np.maximum(h, 0, out=h)
        channel = Channel(self.n_levels, scale=1.0)
        z = channel.squash(h)
        if noise is not None and self.n_levels is not None:
            z = np.clip(z + noise / channel.steps_per_unit, -1, 1)
        return channel.round(z)


def noise_of_rows(rows: np.ndarray, n_units: int) -> np.ndarray:
    """Return uniform noise from -1/2 to 1/2, (B, n_units), that only a row's values (B, P) set.

    Equal rows have equal noise, whatever rows are beside them; any other row has another.
    """
    first = hash_rows(rows, np.zeros((len(rows), 0)), 2)
    with np.errstate(over="ignore"):
        # The mixing of SplitMix64: Steele, Lea and Flood, doi 10.1145/2714064.2660195.
        mixed = first[:, None] + np.arange(1, n_units + 1, dtype=np.uint64) * _GOLDEN
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)) / 2.0**53 - 0.5


def _layers(part: str, parameters: Mapping[str, np.ndarray]) -> list[Layer]:
    layers: list[Layer] = []
    while (name := f"{part}.layers.{len(layers)}") + ".weight" in parameters:
        weight, bias = (parameters[f"{name}.{k}"].astype(np.float64) for k in ("weight", "bias"))
        layers.append((weight, bias))
    return layers


# Of a wide table fewer rows: 32 MB of the widest layer.
_ROWS_AT_ONCE, _VALUES_AT_ONCE = 16_384, 2**22
_ITEMS_AT_ONCE = 256

Features = Callable[[Any], np.ndarray]
"""What maps rows (B, ...) to the features (B, H) of an encoder of the user's."""


def represent(
    networks: NumpyNetworks,
    encoder: TableEncoder | None,
    rows: Table | ArrayRows,
    features: Features | None = None,
) -> np.ndarray:
    """Return Z, (n_rows, n_columns) float64, of a checked table, or of rows of any shape."""
    if encoder is None:
        assert features is not None
        blocks = blocks_of(rows, _ITEMS_AT_ONCE)
        return np.concatenate([networks.representation(features(part), part) for part in blocks])
    x = encoder.positions(rows)
    size = min(_ROWS_AT_ONCE, max(_VALUES_AT_ONCE // networks.widest, 1))
    parts = []
    for start in range(0, x.shape[0], size):
        part = encoder.expand(x[start : start + size])
        part = part.toarray() if hasattr(part, "toarray") else part
        parts.append(networks.representation(part if features is None else features(part), part))
    return np.concatenate(parts)
