"""What "auto" comes to."""

from __future__ import annotations

import pytest
import torch

from fairmi import MIDebiasedClassifier
from fairmi.core.task import Classes
from fairmi.networks.config import network_config


def config_of(n_rows, n_classes=2, own_encoder=False, **parameters):
    given = MIDebiasedClassifier(**parameters).get_params(deep=False)
    resolved = {"factors": (1.0,), "penalty": None, "device": torch.device("cpu"), "seed": 0}
    return network_config(
        given,
        lams=(1.0,),
        n_rows=n_rows,
        n_inputs=10,
        task=Classes(n_classes),
        own_encoder=own_encoder,
        **resolved,
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


@pytest.mark.parametrize(
    ("n_classes", "own_encoder", "expected"),
    [
        (2, False, (17, 1, 256, 40)),
        (10, False, (17, 8, 256, 40)),
        (2, True, (17, 1, 128, 37)),
        (10, True, (None, 64, 128, 73)),
    ],
)
def test_a_module_of_several_classes_gets_an_open_channel_and_more_steps(
    n_classes, own_encoder, expected
):
    """1,400 rows: 80 steps for each class, 400 at least, where 200 are enough for a table."""
    config = config_of(1_400, n_classes, own_encoder)
    chosen = (config.n_levels, config.n_components, config.batch_size, config.max_iter)
    assert chosen == expected
    wanted = {"n_levels": 5, "n_components": 3, "batch_size": 50, "max_iter": 2}
    config = config_of(1_400, n_classes, own_encoder, **wanted)
    assert {name: getattr(config, name) for name in wanted} == wanted
