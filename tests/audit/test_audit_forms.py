"""What an audit is shown as: summary, tables, text, page, card, data, all the same."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from itertools import product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

from fairmi.audit import Audit, Figure, audit, pictures
from fairmi.audit.findings import (
    findings_of,
    interval,
    next_steps,
    number,
    spelt_out,
    with_interval,
)
from fairmi.audit.leakage import _information_figure, _leakage_figures
from fairmi.audit.measures import (
    FOUND,
    NOT_MEASURED,
    NOTHING,
    UNCLEAR,
    agreed,
    direction,
    name_of,
    worst,
)
from fairmi.audit.report import as_line, filled, harmless
from fairmi.audit.tables import MAX_PARTS, tables_of
from fairmi.exceptions import SmallGroupWarning


class Unprinted(dict):
    """Holds what hypothesis would print at length, and warn of its length."""

    def __repr__(self):
        return "reports"


@pytest.fixture(scope="module")
def reports(report):
    return Unprinted(report=report)


MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


@pytest.fixture(scope="module")
def report():
    X, y = make_classification(800, 4, flip_y=0.2, random_state=0)
    s = pd.Series(np.where(X[:, 0] > 0, "=cmd|'calc'!A0", "b|*c*<i>"), name="@group")
    model = LogisticRegression().fit(X[:300], y[:300])
    baseline = LogisticRegression(C=1e-3).fit(X[:300], y[:300])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fairmi.audit.leakage.FOLDS", 10**9)
        return audit(model, X, y, sensitive_features=s, baseline=baseline, random_state=0)


@pytest.mark.parametrize(
    ("score", "p", "verdict"),
    [(0.51, 0.001, FOUND), (0.7, 0.2, UNCLEAR), (0.51, 0.2, NOTHING), (0.7, 0.01, FOUND)],
)
def test_a_leak_is_what_the_test_calls_one(score, p, verdict):
    leak = SimpleNamespace(
        score=score, p_value=p, null_quantile=0.55, n_rows=9, interval=(0.4, 0.8)
    )
    leak.rounded_score = np.nan
    leak.metric, leak.balanced_accuracy = "roc_auc", 0.5
    figures = _leakage_figures(leak, Figure("leakage", "", np.nan))
    assert [f.verdict for f in figures] == [verdict] * 3


def test_interval_and_chance_must_agree_and_changes_have_a_direction():
    signs = [(True, True), (True, False), (False, True), (False, False)]
    assert [agreed(*s) for s in signs] == [FOUND, UNCLEAR, UNCLEAR, NOTHING]
    ends = [(0.1, 0.3), (-0.3, -0.1), (-0.1, 0.1)]
    assert [direction(*e) for e in ends] == ["higher", "lower", "no change found"]


def test_every_finding_has_a_next_step(report):
    steps = next_steps(report)
    for finding in findings_of(report):
        if finding.verdict == FOUND:
            assert any(s.startswith(finding.topic.capitalize()) for s in steps), finding
    assert steps[-1].startswith("Audit again")
    clean = Audit(report.about, tuple(report.section("overall")), (), ())
    assert next_steps(clean)[0] == "Nothing that was looked at asks for a change."


def test_a_part_counts_once_and_of_bounds_the_least_is_told():
    where = Figure("conditional", "", 1.0, attribute="s", n=80, most="x", least="y")
    verdicts = {"mean_prediction": NOTHING, "ks": FOUND, "wasserstein": FOUND}
    figures = tuple(
        replace(where, measure=f"{name}_difference", part=part, verdict=verdict)
        for part, found in (("a = 1", verdicts), ("a = 2", dict.fromkeys(verdicts, NOTHING)))
        for name, verdict in found.items()
    )
    bounds = tuple(
        Figure("certificate", f"{name}_bound", value, attribute="s", verdict="holds")
        for name in ("ks", "mean_difference")
        for value in (0.2, 0.3)
    )
    about = {"task": "regression", "confidence": 0.95}
    of_parts, certificate = findings_of(Audit(about, figures + bounds, (), ()))
    assert f"{name_of('ks_difference')} 1.000. The groups differ in 1 of 2 parts." in of_parts.text
    assert certificate.text.count("at most 0.200") == 2


def test_the_four_fifths_rule_is_for_benefits_and_surely_less(report):
    """Only where the label is said to be hoped for, and the interval leaves out 0.8."""
    ratio = next(f for f in report.section("disparity") if f.measure.endswith("parity_ratio"))
    hoped = {**report.about, "favourable": True}

    def text(about, high):
        figures = tuple(replace(f, high=high) if f is ratio else f for f in report.figures)
        return repr(Audit(about, figures, (), ()))

    assert "29 CFR 1607.4 D" in text(hoped, 0.79)
    assert "29 CFR" not in text(hoped, 0.81)
    assert "29 CFR" not in text(report.about, 0.79)


def random_report(seed):
    """An audit of random rows, of any kind, and what probes might have said of them."""
    rng = np.random.default_rng(seed)
    n, n_groups, n_classes = int(rng.integers(60, 900)), rng.integers(2, 6), rng.integers(2, 4)
    group = rng.integers(n_groups, size=n)
    y = rng.integers(n_classes, size=n)
    copied = rng.random(n) < rng.uniform(0, 0.9)
    told = rng.random(n) < rng.choice([0, 0, 0.2, 0.8])
    predicted = np.where(told, group % n_classes, np.where(copied, y, rng.permutation(y)))
    table = pd.DataFrame({"a": rng.integers(4, size=n), "b": rng.normal(size=n)})
    scores = rng.dirichlet(np.ones(n_classes), size=n) if rng.random() < 0.5 else None
    features = {"s": group, "t": rng.integers(2, size=n)} if rng.random() < 0.3 else {"s": group}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SmallGroupWarning)
        report = audit(
            X=table,
            y=None if rng.random() < 0.15 else y,
            y_pred=predicted,
            y_score=scores,
            sensitive_features=pd.DataFrame(features),
            baseline=rng.permutation(predicted) if rng.random() < 0.5 else None,
            conditions="auto" if rng.random() < 0.5 else None,
            n_boot=100,
            random_state=seed,
        )
    probed = []
    for subject, known in product(("scores", "predictions"), ("", "label")):
        where = Figure("leakage", "", np.nan, attribute="s", subject=subject, given=known)
        leak = SimpleNamespace(
            metric="roc_auc",
            score=rng.uniform(0.4, 1),
            interval=tuple(np.sort(rng.uniform(size=2))),
            null_quantile=0.55,
            balanced_accuracy=rng.uniform(),
            p_value=rng.choice([0.001, 0.3]),
            null_bound=0.01,
            n_rows=n,
            rounded_score=rng.choice([np.nan, 0.51]),
        )
        probed += _leakage_figures(leak, where)
        leak.score = rng.choice([0.001, 0.2])
        probed.append(_information_figure(leak, where))
    figures = (*report.figures, *(probed if rng.random() < 0.5 else ()))
    return replace(report, figures=figures)


class Page(HTMLParser):
    """The tables of a page by caption, each row's cells as in a card; and its cards' badges."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.badges, self.within = {}, [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.within.append((tag, dict(attrs).get("class", "")))
        if tag == "caption":
            self.caption = ""
        if tag == "table":
            self.rows = []
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        while self.within.pop()[0] != tag:
            pass
        if tag == "table":
            self.tables[self.caption] = self.rows

    def handle_data(self, data):
        tags = [tag for tag, _ in self.within]
        if "caption" in tags:
            self.caption += data
        elif "small" in tags and "td" in tags:
            self.rows[-1][-1] += f" ({data})"
        elif "td" in tags or "th" in tags:
            self.rows[-1][-1] += data
        if ("article", "card") in self.within:
            self.badges += [data[2:]] if tags[-1] == "span" and data[1:2] == " " else []


def tables_of_card(text):
    tables = {}
    for title, body in re.findall(r"^## ([^\n]+: [^\n]+)\n\n(.*?)(?=^## |\Z)", text, re.M | re.S):
        lines = [line for line in body.splitlines() if line.startswith("|")]
        rows = [[unescape(c).strip() for c in line[1:-1].split("|")] for line in lines]
        tables[unescape(title)] = [[c.replace("\\", "") for c in r] for r in rows[:1] + rows[2:]]
    return tables


@pytest.mark.parametrize(("first", "n"), [(0, 20), pytest.param(20, 60, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("no_probes")
def test_every_form_says_the_same(first, n):
    """Summary, tables, text, page, card and data of random audits, figure by figure."""
    for seed in range(first, first + n):
        report = random_report(seed)
        text, card, page = repr(report), filled("card.md", report), Page(report._repr_html_())
        flat = " ".join(text.split())
        in_card = tables_of_card(card)
        assert page.tables == in_card
        known = {}  # of each measure of a sensitive feature, the one interval that it has
        for table in tables_of(report):
            block = text.split(table.full_title + "\n-")[1].split("\n\n")[0]
            shown = in_card[table.full_title][1:]
            assert len(shown) == len(table.rows)
            assert table.section != "conditional" or len(shown) <= MAX_PARTS
            for row, cells in zip(table.rows, shown, strict=True):
                columns = dict(zip(table.header, cells, strict=True))
                of_row = [value for value in row if isinstance(value, Figure)]
                if table.section == "conditional":
                    assert columns["rows"] == f"{of_row[0].n:,}"
                for word in {"difference", "leak", "information"} & set(columns):
                    assert columns[word] == of_row[0].verdict
                if "by chance" in columns and of_row:
                    assert columns["by chance"] == number(of_row[0].by_chance)
                    assert number(of_row[0].by_chance) in block
                for value, cell in zip(row, cells, strict=True):
                    if not isinstance(value, Figure):
                        assert cell == " ".join(value.split())
                        continue
                    assert value in report.figures
                    assert cell == with_interval(value)
                    assert (number(value.value) or "none") in block
                    assert interval(value) in block
                    if table.section in ("disparity", "change"):
                        whose = (
                            value.attribute,
                            value.measure,
                            value.subject,
                            value.section == "baseline",
                        )
                        assert known.setdefault(whose, cell) == cell
        for attribute in report.attributes:
            parts, overview, rates = (
                "".join(pictures.picture_of(report, section, attribute))
                for section in ("conditional", "overview", "group")
            )
            assert parts.count("<g>") <= MAX_PARTS
            titles = re.findall(r'class="title" x="8.0"[^>]*>([^<]*)<', overview)
            assert titles
            assert len(titles) == len(set(titles))
            for svg in (overview, rates):
                assert ('class="baseline"' in svg) == bool(report.about["baseline"])
        read = json.loads(json.dumps(report.to_dict()))["figures"]
        assert [f["verdict"] for f in read] == [f.verdict for f in report.figures]
        found = findings_of(report)
        assert page.badges == [f.words for f in found]
        theirs = {(f.attribute, f.measure): f.verdict for f in report.section("baseline")}
        of_baseline = [
            spelt_out(f.topic, theirs[f.attribute, f.figures[0].measure])
            for f in found
            if f.figures[0].section == "disparity" and report.about["baseline"]
        ]
        shown = re.findall("<small>baseline: . ([^<]*)</small>", report._repr_html_())
        assert shown == of_baseline
        for f in report.section("change"):
            moved = f"{name_of(f.measure)} is {f.verdict} by"
            assert f.verdict == "no change found" or moved in flat
        for finding in found:
            assert finding.verdict == worst(finding.figures)
            line = f"{finding.topic} by {finding.attribute}: {finding.words}. {finding.text}"
            assert " ".join(line.split()) in flat
            assert finding.verdict != NOTHING or "found" not in finding.text
        verdicts = {
            cell
            for title, rows in in_card.items()
            for row in rows[1:]
            for cell in row
            if not title.startswith("Against")
        }
        asked = bool(verdicts & {FOUND, UNCLEAR, NOT_MEASURED})
        nothing = "Nothing that was looked at asks for a change."
        assert (nothing in text, nothing in card) == (not asked, not asked)


def read_card(text):
    """The head and the Markdown of a card, each by a parser of its language."""
    _, head, body = re.split(r"^---$\n", text, maxsplit=2, flags=re.MULTILINE)
    return yaml.safe_load(head), MARKDOWN.parse(body)


def markup_of(tokens):
    """The markup of a Markdown text, without its words; and its words."""
    flat = [t for token in tokens for t in (token, *(token.children or ()))]
    kinds = [t.type for t in flat if t.type not in ("text", "inline")]
    return kinds, " ".join(t.content for t in flat if t.type != "inline")


def test_the_card_has_a_head_of_yaml_and_all_tables(report, tmp_path):
    report.to_card(tmp_path / "card.md")
    head, tokens = read_card((tmp_path / "card.md").read_text(encoding="utf-8"))
    assert head["tags"] == ["tabular-classification", "fairness"]
    (result,) = head["model-index"][0]["results"]
    metrics = {m["name"]: m["value"] for m in result["metrics"]}
    accuracy = report.section("overall")[0].value
    assert metrics["accuracy"] == pytest.approx(accuracy, abs=1e-4)
    assert "demographic parity difference, @group" in metrics
    kinds, words = markup_of(tokens)
    for title in ("Evaluation data", "In short", "Rates by group", "Limits", "Intended use"):
        assert title in words
    assert "b|*c*<i>: " in words
    assert kinds.count("table_open") == len(tables_of(report))
    n_cells = sum(len(t.header) * (1 + len(t.rows)) for t in tables_of(report))
    assert kinds.count("th_open") + kinds.count("td_open") == n_cells


NASTY = st.text(
    st.sampled_from("`<>|*_[]()#~$!&;:/.\\-+=1{}'\"\n\t \x7f\x00\ud83d😀\u202ea")
) | st.text(st.characters(exclude_categories=()))


@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(model=NASTY, attribute=NASTY.filter(bool), group=NASTY, note=NASTY.filter(str.strip))
@example(model="M(a='`<img src=x>`')", attribute="a\x7f", group="😀", note="https://e.org")
@example(model="- a", attribute="1. b", group="# c", note="---")
def test_no_name_is_markup_in_the_card(reports, model, attribute, group, note):
    """The same markup whatever things are called, and every name there to be read."""

    (report,) = reports.values()
    groups_of = lambda group: {"": "", report.figures[4].group: group}  # noqa: E731

    def card(model, attribute, group, note):
        groups = groups_of(group)

        def renamed(f):
            return replace(
                f,
                attribute=f.attribute and attribute,
                **{
                    name: groups.get(vars(f)[name], "other") for name in ("group", "most", "least")
                },
            )

        about = {**report.about, "model": model, "groups": {attribute: {group: 1, "other\t": 2}}}
        about |= {"labels": {group: 3}, "positive label": "x" + group}
        figures = tuple(map(renamed, report.figures))
        return read_card(filled("card.md", Audit(about, figures, (), (note,))))

    head, tokens = card(model, attribute, group, note)
    kinds, words = markup_of(tokens)
    assert kinds == markup_of(card("M", "a", "b", "c")[1])[0]
    assert set(kinds) & {"html_inline", "html_block", "code_inline", "link_open"} == set()
    for name in (model, attribute, group, note):
        assert as_line(name) in words
    assert head["model-index"][0]["name"] == model
    assert head["model-index"][0]["results"][0]["metrics"][1]["name"].endswith(attribute)
    assert as_line("😀") == "😀"


def test_no_cell_of_the_csv_is_a_formula(report, tmp_path):
    report.to_csv(tmp_path / "audit.csv")
    read = pd.read_csv(tmp_path / "audit.csv")
    assert "'=cmd|'calc'!A0" in set(read.group)
    assert set(read.attribute.fillna("")) == {"", "'@group"}
    np.testing.assert_allclose(read.value, report.to_frame().value)
    assert (read.value < 0).any()
    for start in "=+-@\t\r\n":
        frame = pd.DataFrame({f"{start}name": [f"{start}1+1", "plain"], "n": [-1.0, 2.0]})
        safe = harmless(frame)
        assert safe.columns[0] == f"'{start}name"
        assert list(safe.iloc[:, 0]) == [f"'{start}1+1", "plain"]
        assert list(safe.n) == [-1.0, 2.0]
        assert frame.columns[0] == f"{start}name"


def contrast(one, other):
    """The ratio of WCAG 2.2, from 1 to 21."""

    def luminance(colour):
        parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return np.dot(linear, (0.2126, 0.7152, 0.0722))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_can_be_read_by_day_and_by_night(report, dark):
    """4.5 for text and 3 for what else tells something (WCAG 2.2, 1.4.3 and 1.4.11)."""
    for colour in (*pictures.COLOURS, pictures.GREY, pictures.PALE_INK):
        assert contrast(colour, pictures.WHITE) >= 3
    style = report._repr_html_().split("<style>")[1].split("</style>")[0]
    by_day, by_night = style.split("@media screen and (prefers-color-scheme: dark)")
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", by_day))
    if dark:
        colours |= dict(re.findall(r"--([\w-]+): (#\w{6})", by_night))
    for text in ("ink", "pale-ink", "model"):
        assert contrast(colours[text], colours["paper"]) >= 4.5
    assert contrast(colours["ink"], colours["shade"]) >= 4.5
    assert contrast(colours["pale-ink"], colours["shade"]) >= 4.5
    for badge in ("found", "unclear", "nothing", "other"):
        assert contrast(colours[badge], colours[f"{badge}-back"]) >= 4.5
    for mark in ("baseline", "grey", *(f"line{i}" for i in range(pictures.MAX_LINES))):
        assert contrast(colours[mark], colours["paper"]) >= 3
    assert contrast(colours["model"], colours["grid"]) >= 3
    rest = re.sub(r"--[\w-]+: #\w+", "", style)
    assert "#" not in re.sub(r"#audit-\w+", "", rest), "a colour that is not measured"
