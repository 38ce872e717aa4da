"""Digits whose colour tells the class in training, and not at test."""

from __future__ import annotations

from numbers import Real

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

N_BINS = 8
CHANNELS = ("red", "green", "blue")
# The mean colour of each digit: colours that CSS names, chosen to lie apart.
PALETTE = {
    "crimson": (220, 20, 60),
    "teal": (0, 128, 128),
    "gold": (255, 215, 0),
    "dodgerblue": (30, 144, 255),
    "darkorange": (255, 140, 0),
    "darkviolet": (148, 0, 211),
    "cyan": (0, 255, 255),
    "pink": (255, 192, 203),
    "lawngreen": (124, 252, 0),
    "maroon": (128, 0, 0),
}


def make_biased_digits(
    images: ArrayLike,
    labels: ArrayLike,
    *,
    variance: float = 0.02,
    bias: float = 1.0,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Colour digits so that their colour tells their class, or so that it tells nothing.

    Each class has a mean colour. A row's colour is that of its class, or of one drawn at random,
    plus normal noise in each channel, and the whole digit has it. A network that is trained on
    rows of bias 1 reads the colour in place of the shape, and fails on rows of bias 0.

    Parameters
    ----------
    images : array-like of shape (n_rows, height, width)
        Grey digits, bright on dark: uint8 from 0 to 255, or numbers from 0 to their largest one.
    labels : array-like of int of shape (n_rows,)
        Digits from 0 to 9.
    variance : float, default=0.02
        Variance of the noise in each channel, on a scale from 0 to 1: 0.02 to 0.05 in [1]_. The
        smaller, the more the colour tells.
    bias : float, default=1.0
        Share of the rows whose colour is that of their class, 1 for training; the others have that
        of any of the ten, as all have with 0, for the test.
    random_state : int, RandomState instance or None, default=None
        Seed of the colours.

    Returns
    -------
    images : ndarray of uint8 of shape (n_rows, height, width, 3)
    labels : ndarray of int of shape (n_rows,)
    bins : DataFrame of shape (n_rows, 3)
        The sensitive features `red`, `green` and `blue`: the largest value of each channel in the
        image, in 8 bins of equal width, from 0 to 7.

    Raises
    ------
    ValueError
        If images are not of rank 3, labels are no digits or not as many, the variance is not
        above 0, or the bias not from 0 to 1.

    Notes
    -----
    The benchmark is that of [1]_. The palette of its authors isn't public; ours are ten colours of
    CSS: crimson, teal, gold, dodgerblue, darkorange, darkviolet, cyan, pink, lawngreen and maroon,
    for 0 to 9. So figures from these images compare with one another, not with published ones.

    References
    ----------
    .. [1] B. Kim, H. Kim, K. Kim, S. Kim, J. Kim, "Learning Not to Learn: Training Deep Neural
       Networks with Biased Data", CVPR 2019, arXiv 1812.10352.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fairmi.datasets import make_biased_digits
    >>> digits = load_digits()
    >>> X, y, bins = make_biased_digits(
    ...     digits.images, digits.target, variance=0.02, random_state=0)
    >>> X.shape, X.dtype
    ((1797, 8, 8, 3), dtype('uint8'))
    >>> bins.columns.tolist()
    ['red', 'green', 'blue']
    """
    grey, codes = _checked(images, labels)
    _check_number("variance", variance, np.inf)
    _check_number("bias", bias, 1.0)
    if not variance:
        raise ValueError("variance=0 gives all rows of a class one colour; give a number above 0.")
    random = check_random_state(random_state)
    palette = np.array(list(PALETTE.values())) / 255
    drawn = random.randint(len(palette), size=len(codes))
    of_class = random.uniform(size=len(codes)) < bias
    noise = random.normal(scale=np.sqrt(variance), size=(len(codes), len(CHANNELS)))
    colours = np.clip(palette[np.where(of_class, codes, drawn)] + noise, 0, 1)
    coloured = np.empty((*grey.shape, len(CHANNELS)), dtype=np.uint8)
    for channel in range(len(CHANNELS)):
        coloured[..., channel] = grey * colours[:, channel, None, None] + 0.5
    largest = coloured.reshape(len(codes), -1, len(CHANNELS)).max(axis=1)
    bins = largest.astype(np.int64) * N_BINS // 256
    return coloured, codes, pd.DataFrame(bins, columns=list(CHANNELS))


def _checked(images: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return grey values from 0 to 255, float32, and labels."""
    grey, codes = np.asarray(images), np.asarray(labels)
    if grey.ndim != 3 or not grey.size or grey.dtype.kind not in "uif":
        raise ValueError(
            f"images have shape {grey.shape} and dtype {grey.dtype}; give grey digits of shape "
            "(n_rows, height, width), numbers."
        )
    if codes.shape != grey.shape[:1] or codes.dtype.kind not in "ui":
        raise ValueError(
            f"labels have shape {codes.shape} and dtype {codes.dtype}; give one integer for each "
            f"of {len(grey)} images."
        )
    if not np.isin(codes, np.arange(len(PALETTE))).all():
        raise ValueError("labels hold other values than 0 to 9; give digits.")
    if not np.isfinite(grey).all() or grey.min() < 0 or not grey.max():
        raise ValueError("images hold no values from 0 upwards; give bright digits on dark.")
    scale = 255 if grey.dtype == np.uint8 else grey.max()
    return (grey * np.float32(255 / scale)).astype(np.float32), codes.astype(np.int64)


def _check_number(name: str, value: object, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= most:
        bound = "0 or more" if most == np.inf else f"from 0 to {most:g}"
        raise ValueError(f"{name}={value!r} is no number that can be used; give one {bound}.")
