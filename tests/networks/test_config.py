"""What "auto" comes to."""

from __future__ import annotations

import pytest
import torch

from fairmi import MIDebiasedClassifier
from fairmi.core.task import Classes
from fairmi.networks.config import network_config


def config_of(n_rows, **parameters):
    given = MIDebiasedClassifier(**parameters).get_params(deep=False)
    resolved = {"factors": (1.0,), "penalty": None, "device": torch.device("cpu"), "seed": 0}
    return network_config(
        given, lams=(1.0,), n_rows=n_rows, n_inputs=10, task=Classes(2), **resolved
    )


@pytest.mark.parametrize(
    ("n_rows", "n_epochs"),
    [
        (100, 200),
        (1_000, 50),
        (30_000, 15),
        (256_000, 15),
        (500_000, 8),
        (1_000_000, 4),
        (10_000_000, 1),
        (None, 200),
    ],
)
def test_epochs_make_enough_steps_and_not_too_many(n_rows, n_epochs):
    assert config_of(n_rows).max_iter == n_epochs
    assert config_of(n_rows, max_iter=7).max_iter == 7


def test_larger_batches_make_fewer_steps_of_the_same_epochs():
    assert config_of(1_000_000, batch_size=1024).max_iter == 15
