"""Pairs (Z, C) whose mutual information is known, by closed form or numerical integration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.integrate import trapezoid
from scipy.special import entr
from scipy.stats import norm

Draw = Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]]
GRID = np.linspace(-12, 12, 4001)


@dataclass(frozen=True)
class Case:
    """How to draw n rows of Z and C, and their information in nats."""

    name: str
    truth: float
    draw: Draw


def discrete(name: str, joint: np.ndarray) -> Case:
    """Return a pair of codes of the given joint distribution (Z by C)."""

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        z, c = np.unravel_index(rng.choice(joint.size, n, p=joint.ravel()), joint.shape)
        return z, c

    entropy = entr(joint.sum(axis=0)).sum() + entr(joint.sum(axis=1)).sum() - entr(joint).sum()
    return Case(name, float(entropy), draw)


def cut_normal(name: str, rho: float, n_groups: int) -> Case:
    """Return normal Z of correlation rho with X, and C the quantile group of X."""
    cuts = norm.ppf(np.arange(1, n_groups) / n_groups)

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x, e = rng.normal(size=(2, n))
        return rho * x + np.sqrt(1 - rho**2) * e, np.digitize(x, cuts)

    edges = np.concatenate([[-np.inf], cuts, [np.inf]])
    cdf = norm.cdf((edges - rho * GRID[:, None]) / np.sqrt(1 - rho**2))  # of X given Z
    given_z = entr(np.diff(cdf, axis=1)).sum(axis=1)
    truth = np.log(n_groups) - trapezoid(given_z * norm.pdf(GRID), GRID)
    return Case(name, float(truth), draw)


def mixture(name: str, means: np.ndarray, share: np.ndarray) -> Case:
    """Return Z of a mixture of standard normals, and C its component.

    The means lie in the first one or two columns: the others say nothing.
    """

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        c = rng.choice(len(share), n, p=share)
        return means[c] + rng.normal(size=(n, means.shape[1])), c

    grid = np.linspace(-8, 8, 401)
    z = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1)
    plane = np.pad(means, ((0, 0), (0, 1)))[:, :2]
    joint = share * np.exp(-((z[:, :, None] - plane) ** 2).sum(axis=-1) / 2) / (2 * np.pi)
    total = joint.sum(axis=-1)
    log_ratio = np.log(joint) - np.log(total)[..., None] - np.log(share)
    truth = (joint * log_ratio).sum() * (grid[1] - grid[0]) ** 2
    return Case(name, float(truth), draw)


def normal_pair(name: str, rho: float) -> Case:
    """Return two normals of correlation rho: C is continuous."""

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x, e = rng.normal(size=(2, n))
        return rho * x + np.sqrt(1 - rho**2) * e, x

    return Case(name, float(-np.log(1 - rho**2) / 2), draw)


def by_density(name: str, density: Callable[..., np.ndarray], draw: Draw) -> Case:
    """Return a normal Z and C of density p(c | z) on a grid, by numerical integration."""
    z = np.linspace(-5, 5, 401)[:, None]
    weight = norm.pdf(z) * (z[1] - z[0])
    given_z = density(GRID, z)
    marginal = (weight * given_z).sum(axis=0)
    log_ratio = np.log(np.maximum(given_z, 1e-300) / np.maximum(marginal, 1e-300))
    return Case(name, float(trapezoid((weight * given_z * log_ratio).sum(axis=0), GRID)), draw)


def spread_only(name: str, slope: float) -> Case:
    """Return C normal of mean 0 and standard deviation exp(slope Z)."""

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        z, e = rng.normal(size=(2, n))
        return z, np.arcsinh(np.exp(slope * z) * e)

    def density(c: np.ndarray, z: np.ndarray) -> np.ndarray:  # of arcsinh C, for the grid
        return norm.pdf(np.sinh(c), scale=np.exp(slope * z)) * np.cosh(c)

    return by_density(name, density, draw)


def either_sign(name: str, share: float) -> Case:
    """Return C = +- sqrt(share) Z + noise, of variance 1."""

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        z, e = rng.normal(size=(2, n))
        return z, rng.choice([-1, 1], n) * np.sqrt(share) * z + np.sqrt(1 - share) * e

    def density(c: np.ndarray, z: np.ndarray) -> np.ndarray:
        spread = np.sqrt(1 - share)
        centre = np.sqrt(share) * z
        return (norm.pdf(c, centre, spread) + norm.pdf(c, -centre, spread)) / 2

    return by_density(name, density, draw)


def uniform_noise(name: str, width: float) -> Case:
    """Return Z uniform on an interval of 1, and C = Z + uniform noise on one of `width` >= 1."""

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        z = rng.uniform(size=n)
        return z, z + rng.uniform(0, width, n)

    return Case(name, 1 / (2 * width), draw)


def zero_inflated(name: str) -> Case:
    """Return C lognormal with probability Phi(Z), else 0: Z tells which, ln 2 - 1/2 nats of it."""

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        z, e = rng.normal(size=(2, n))
        return z, np.where(rng.random(n) < norm.cdf(z), np.exp(e), 0.0)

    return Case(name, float(np.log(2) - 0.5), draw)


def _tilted(n_values: int, tilt: float) -> np.ndarray:
    slope = np.linspace(-tilt, tilt, n_values)
    return np.column_stack([1 + slope, 1 - slope]) / (2 * n_values)


CASES = (
    discrete("discrete, 2 by 2, 10 % flipped", np.array([[0.45, 0.05], [0.05, 0.45]])),
    discrete("discrete, 22 by 2, weak", _tilted(22, 0.3)),
    discrete("discrete, 10 by 3, independent", np.full((10, 3), 1 / 30)),
    cut_normal("normal, C its sign, correlation 0.5", 0.5, 2),
    cut_normal("normal, C its sign, correlation 0.9", 0.9, 2),
    cut_normal("normal, C its quartile, correlation 0.7", 0.7, 4),
    mixture("mixture, 1 column, 2 components", np.array([[-0.5], [0.5]]), np.full(2, 0.5)),
    mixture(
        "mixture, 2 columns, 3 components", np.array([[0, 0], [2, 0], [0, 2.0]]), np.full(3, 1 / 3)
    ),
    mixture(
        "mixture, 8 columns, 20 % and 80 %", np.eye(2, 8) * [[1.5], [0]], np.array([0.2, 0.8])
    ),
    normal_pair("normal pair, correlation 0.6", 0.6),
    spread_only("spread only, exp(0.7 Z) noise", 0.7),
    either_sign("either sign, half the variance", 0.5),
    uniform_noise("uniform plus uniform noise", 1.5),
    zero_inflated("zero-inflated"),
)
