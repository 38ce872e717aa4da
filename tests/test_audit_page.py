from __future__ import annotations

import json
import re
import shutil
import subprocess

import matplotlib.image
import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

from fairmi.audit import audit

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
needs_chromium = pytest.mark.skipif(
    not CHROMIUM, reason="no chromium on the PATH: the page is not opened in a browser"
)


class Representing(LogisticRegression):
    def transform(self, X):
        return X[:, :2].round()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    X, y = make_classification(1500, 6, flip_y=0.2, random_state=0)
    s = np.where(X[:, 0] > 0, "Ångström & <co>", "b")
    model = Representing().fit(X[:500], y[:500])
    baseline = LogisticRegression(C=1e-3).fit(X[:500], y[:500])
    path = tmp_path_factory.mktemp("page") / "audit.html"
    report = audit(
        model, X[500:], y[500:], sensitive_features=s[500:], baseline=baseline, random_state=0
    )
    report.to_html(path)
    return path


def test_nothing_comes_from_elsewhere(page):
    text = page.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|<script|<iframe|@import|url\(|src=", text)


def test_pictures_are_described_and_tables_have_headers(page):
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == text.count('role="img" aria-label="') >= 5
    assert text.count("<table") == text.count("<thead>") >= 5


def test_every_measure_shown_is_explained(page):
    text = page.read_text(encoding="utf-8")
    explained = set(re.findall(r"<dt>(.*?)</dt>", text))
    assert {"equalized odds difference", "expected calibration error"} <= explained
    assert "What this does not show" in text


def open_in_chromium(path, folder):
    """Console messages, addresses that the page asked for, and its picture."""
    shot, log = folder / "shot.png", folder / "net.json"
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={folder / 'profile'}",
            "--enable-logging=stderr",
            f"--log-net-log={log}",
            "--window-size=1000,4000",
            "--hide-scrollbars",
            f"--screenshot={shot}",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert shot.exists(), done.stderr
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    events = json.loads(log.read_text())["events"]
    by_page = [e["params"] for e in events if "initiator" in e.get("params", {})]
    asked = {p["url"] for p in by_page if p["initiator"] != "not an origin"}
    return console, asked, matplotlib.image.imread(shot)


@needs_chromium
def test_page_renders_without_error_or_request(page, tmp_path):
    console, asked, picture = open_in_chromium(page, tmp_path)
    assert console == []
    assert asked == set()
    dark = picture[..., :3].mean(axis=2) < 0.5
    assert dark[:1000].any(axis=1).sum() > 300
    assert dark[-1000:].any()
    assert not dark[:, :10].any()
    assert not dark[:, -10:].any(), "something runs over the right edge"


@needs_chromium
def test_the_browser_would_have_told(tmp_path):
    planted = tmp_path / "planted.html"
    planted.write_text(
        '<!DOCTYPE html><img src="http://example.invalid/x.png">'
        '<script>console.error("planted")</script>'
    )
    console, asked, _ = open_in_chromium(planted, tmp_path)
    assert any("planted" in line for line in console)
    assert "http://example.invalid/x.png" in asked
