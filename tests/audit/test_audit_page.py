from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape

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
HEADLESS = [
    CHROMIUM,
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
]


class Representing(LogisticRegression):
    def transform(self, X):
        return X[:, :2].round()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    X, y = make_classification(700, 4, flip_y=0.2, random_state=0)
    s = np.where(X[:, 0] > 0, "Ångström & <co>", "b")
    model = Representing().fit(X[:300], y[:300])
    baseline = LogisticRegression(C=1e-3).fit(X[:300], y[:300])
    path = tmp_path_factory.mktemp("page") / "audit.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fairmi.audit.leakage.FOLDS", 3)
        report = audit(
            model, X[300:], y[300:], sensitive_features=s[300:], baseline=baseline, random_state=0
        )
    report.to_html(path)
    return path


def test_the_page_needs_nothing_and_everything_in_it_has_a_name(page):
    text = page.read_text(encoding="utf-8")
    itself = text.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|<script|<iframe|@import|url\(|src=", itself)
    assert text.count("<svg") == text.count('role="img" aria-label="') >= 5
    assert text.count("<table") == text.count("<thead>") == text.count("<caption>") >= 5
    for body in re.findall(r"<tbody>(.*?)</tbody>", text, flags=re.DOTALL):
        rows = body.split("<tr>")[1:]
        assert rows
        assert all(row.startswith('<th scope="row"') for row in rows)
    for head in re.findall(r"<thead>(.*?)</thead>", text):
        assert '<th scope="col"' in head
        assert "<td" not in head
    boxes = re.findall(r'<div class="wide"([^>]*)>', text)
    assert all('tabindex="0" aria-label="' in box for box in boxes)
    explained = set(re.findall(r"<dt>(.*?)</dt>", text))
    assert {"equalized odds difference", "expected calibration error"} <= explained
    assert "What this does not show" in text


def open_in_chromium(path, folder, width=1000):
    """Console messages, addresses that the page asked for, and its picture."""
    shot, log = folder / "shot.png", folder / "net.json"
    done = subprocess.run(
        [
            *HEADLESS,
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={folder / 'profile'}",
            "--enable-logging=stderr",
            f"--log-net-log={log}",
            f"--window-size={width},4000",
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


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("width", [1000, 390])
def test_page_renders_without_error_or_request(page, tmp_path, width):
    console, asked, picture = open_in_chromium(page, tmp_path, width)
    assert console == []
    assert asked == set()
    dark = picture[..., :3].mean(axis=2) < 0.5
    assert dark[:1000].any(axis=1).sum() > 300
    assert dark[-1000:].any()
    assert not dark[:, :10].any()
    assert not dark[:, -10:].any() or width < 500, "something runs over the right edge"


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("width", [360, 390, 1000])
def test_no_screen_has_to_scroll_sideways_but_for_tables(page, tmp_path, width):
    """In a frame, since the window of a headless browser has a least width."""
    frame = f'<iframe id="f" width="{width}" height="800" style="border:0" srcdoc="'
    script = "onload = () => document.title = f.contentDocument.documentElement.scrollWidth"
    measuring = tmp_path / "measuring.html"
    measuring.write_text(
        "<title>none</title>" + frame + escape(page.read_text("utf-8")) + '"></iframe>'
        f"<script>{script}</script>",
        "utf-8",
    )
    done = subprocess.run(
        [*HEADLESS, f"--user-data-dir={tmp_path}", "--dump-dom", measuring.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert int(re.search(r"<title>(\d+)</title>", done.stdout)[1]) <= width


@pytest.mark.slow
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
