from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = [p for p in sorted(BENCHMARKS.glob("*.py")) if '__name__ == "__main__"' in p.read_text()]

pytestmark = pytest.mark.skipif(not SCRIPTS, reason="benchmarks are in the repository alone")


@pytest.fixture(autouse=True)
def _found(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_each_script_says_what_it_does(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 0
    assert "usage:" in capsys.readouterr().out


def test_accuracy_is_read_between_the_two_points_beside():
    from common.lines import Line

    right = {0.1: [1, 0, 0, 0], 0.3: [1, 1, 0, 0], 0.5: [1, 1, 1, 1]}
    line = Line.of([0.5, 0.1, 0.3], [right[0.5], right[0.1], right[0.3]])
    found = [line.accuracy_at(x) for x in (0.1, 0.15, 0.3, 0.4, 0.5)]
    np.testing.assert_allclose(found, [0.25, 0.3125, 0.5, 0.75, 1.0])
    assert np.isnan([line.accuracy_at(0.09), line.accuracy_at(0.51)]).all()


def test_a_difference_is_paired_by_rows():
    from common.lines import Line, paired_difference

    right = np.random.default_rng(0).integers(2, size=(2, 100))
    line = Line.of([0.0, 1.0], right)
    assert paired_difference(line, line, 0.3) == (0, 0)
    other = Line.of([0.0, 1.0], 1 - right)
    rows = 2 * (0.7 * right[0] + 0.3 * right[1]) - 1
    expected = rows.mean(), rows.std(ddof=1) / 10
    np.testing.assert_allclose(paired_difference(line, other, 0.3), expected)
    beyond = Line.of([0.5, 1.0], right)
    assert np.isnan(paired_difference(line, beyond, 0.3)).all()


def test_a_threshold_for_each_group_within_a_bound():
    """The groups' scores differ by 0.2: one threshold selects 0.6 and 0.8, two select alike."""
    from common.thresholds import best_pairs

    p = np.concatenate([np.arange(100) / 100, np.arange(100) / 100 + 0.2])
    c = np.repeat([0, 1], 100)
    y = (p > 0.4).astype(int)
    rates = [
        [(p[c == g] > cut).mean() for g, cut in enumerate(cuts)]
        for cuts in best_pairs(p, y, c, "demographic_parity", (0.0, 0.1, 0.5))
    ]
    gaps = [abs(first - second) for first, second in rates]
    np.testing.assert_allclose(gaps, [0.0, 0.1, 0.2], atol=0.011)
    (cuts,) = best_pairs(p, y, c, "equalized_odds", (0.0,))
    assert ((p > cuts[c]) == y).all()
