"""What an audit is shown as: the summary, the card, the table, and colours that can be read."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

from fairmi.audit import Audit, Figure, audit
from fairmi.audit.render import palette
from fairmi.audit.render.advice import next_steps
from fairmi.audit.render.card import as_card
from fairmi.audit.render.data import harmless
from fairmi.audit.render.escaping import as_line
from fairmi.audit.render.figure_tables import tables_of
from fairmi.audit.render.pictures import DASHES, MARKS
from fairmi.audit.render.style import STYLE
from fairmi.audit.render.summary import statements
from fairmi.audit.render.verdicts import (
    FOUND,
    NOT_MEASURED,
    NOTHING,
    UNCLEAR,
    calibration_verdict,
    change_verdict,
    disparity_verdict,
    leakage_verdict,
)

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


@pytest.fixture(scope="module")
def report():
    X, y = make_classification(800, 4, flip_y=0.2, random_state=0)
    s = pd.Series(np.where(X[:, 0] > 0, "=cmd|'calc'!A0", "b|*c*<i>"), name="@group")
    model = LogisticRegression().fit(X[:300], y[:300])
    baseline = LogisticRegression(C=1e-3).fit(X[:300], y[:300])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fairmi.audit.figures.leakage.FOLDS", 10**9)
        return audit(model, X, y, sensitive_features=s, baseline=baseline, random_state=0)


def disparity(value, low, by_chance, measure="demographic_parity_difference"):
    return Figure("disparity", measure, value, low, 2 * value, by_chance)


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        (disparity(0.2, 0.1, 0.05), FOUND),
        (disparity(0.2, 0.0, 0.05), UNCLEAR),
        (disparity(0.2, 0.1, 0.25), UNCLEAR),
        (disparity(0.02, 0.0, 0.05), NOTHING),
        (disparity(np.nan, np.nan, np.nan), NOT_MEASURED),
        (disparity(0.4, 0.3, 0.8, "demographic_parity_ratio"), FOUND),
        (disparity(0.6, 0.3, 0.8, "demographic_parity_ratio"), UNCLEAR),
        (disparity(0.9, 0.8, 0.8, "demographic_parity_ratio"), NOTHING),
    ],
)
def test_interval_and_chance_must_agree(figure, verdict):
    assert disparity_verdict(figure) == verdict


@pytest.mark.parametrize(
    ("score", "p", "verdict"),
    [(0.51, 0.001, FOUND), (0.7, 0.2, UNCLEAR), (0.51, 0.2, NOTHING), (0.7, 0.01, FOUND)],
)
def test_a_leak_is_what_the_test_calls_one(score, p, verdict):
    figure = Figure("leakage", "roc_auc", score, by_chance=0.55)
    assert leakage_verdict(figure, Figure("leakage", "p_value", p)) == verdict


def test_calibration_and_changes():
    error = Figure("calibration", "expected_calibration_error", 0.1, by_chance=0.05)
    fine = Figure("calibration", "expected_calibration_error", 0.01, by_chance=0.05)
    off, on = Figure("", "", 0.2, 0.1, 0.3), Figure("", "", 0.0, -0.1, 0.1)
    verdicts = [calibration_verdict(e, x) for e, x in product((error, fine), (off, on))]
    assert verdicts == [FOUND, FOUND, UNCLEAR, NOTHING]
    assert [change_verdict(f) for f in (off, on)] == ["higher", "no change found"]


def test_the_summary_says_what_the_tables_say(report):
    found = {s.topic: s.verdict for s in statements(report)}
    tables = {table.section: table for table in tables_of(report)}

    def cell(section, row, column):
        table = tables[section]
        line = next(r for r in table.rows if r[0] == row)
        return line[table.header.index(column)]

    assert found["parity"] == cell("disparity", "demographic parity difference", "difference")
    assert found["odds"] == cell("disparity", "equalized odds difference", "difference")
    assert found["within parts"] == FOUND
    assert FOUND in {row[1] for row in tables["conditional"].rows}
    change = cell("change", "demographic parity difference", "finding")
    assert found["against the baseline"] == change
    off = {row[1] for row in tables["calibration"].rows}
    assert found["calibration"] in off


def test_every_finding_has_a_next_step(report):
    steps = next_steps(report)
    for statement in statements(report):
        if statement.verdict == FOUND:
            assert any(s.startswith(statement.topic.capitalize()) for s in steps), statement
    assert steps[-1].startswith("Audit again")
    clean = Audit(report.about, tuple(report.section("overall")), (), ())
    assert next_steps(clean)[0] == "Nothing that was looked at asks for a change."


def test_few_rows_are_to_be_more(report):
    unclear = Figure("disparity", "demographic_parity_difference", 0.2, 0, 0.4, 0.1)
    rates = [
        Figure("group", "selection_rate", v, attribute="s", group=g)
        for v, g in ((0.1, "a"), (0.3, "b"))
    ]
    figures = (*report.section("overall"), *rates, Figure(**{**vars(unclear), "attribute": "s"}))
    (step, _) = next_steps(Audit(report.about, figures, (), ()))
    assert step == "Gather more rows: these are too few to decide on parity by s."


def test_every_form_has_the_summary(report, tmp_path):
    report.to_card(tmp_path / "card.md")
    page = report._repr_html_()
    for form in (str(report), page, (tmp_path / "card.md").read_text()):
        words = " ".join(form.split())
        assert "a difference of" in words
        assert "29 CFR 1607.4 D" in words
        assert "decide whether the use of the model asks for equal shares" in words


def read_card(text):
    """The head and the Markdown of a card, each by a parser of its language."""
    _, head, body = re.split(r"^---$\n", text, maxsplit=2, flags=re.MULTILINE)
    return yaml.safe_load(head), MARKDOWN.parse(body)


def spelt_out(tokens):
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
    kinds, words = spelt_out(tokens)
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
def test_no_name_is_markup_in_the_card(report, model, attribute, group, note):
    """The same markup whatever things are called, and every name there to be read."""

    def card(model, attribute, group, note):
        def renamed(f):
            return replace(
                f,
                attribute=f.attribute and attribute,
                group={"": "", report.figures[4].group: group}.get(f.group, "other"),
            )

        about = {**report.about, "model": model, "groups": {attribute: {group: 1, "other\t": 2}}}
        about |= {"labels": {group: 3}, "positive label": "x" + group}
        figures = tuple(map(renamed, report.figures))
        return read_card(as_card(Audit(about, figures, (), (note,))))

    head, tokens = card(model, attribute, group, note)
    kinds, words = spelt_out(tokens)
    assert kinds == spelt_out(card("M", "a", "b", "c")[1])[0]
    assert set(kinds) & {"html_inline", "html_block", "code_inline", "link_open"} == set()
    for name in (model, attribute, group, note):
        assert as_line(name) in words
    assert head["model-index"][0]["name"] == model
    assert head["model-index"][0]["results"][0]["metrics"][1]["name"].endswith(attribute)
    assert as_line("😀") == "😀"


def test_no_cell_of_the_csv_is_a_formula(report, tmp_path):
    report.to_csv(tmp_path / "audit.csv")
    read = pd.read_csv(tmp_path / "audit.csv")
    text = read.select_dtypes(exclude="number").fillna("")
    assert not text.apply(lambda column: column.str.match(r"[=+\-@\t\r\n]")).any(axis=None)
    assert "'=cmd|'calc'!A0" in set(read.group)
    assert set(text.attribute) == {"", "'@group"}
    np.testing.assert_allclose(read.value, report.to_frame().value)
    assert (read.value < 0).any()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_text_that_begins_like_a_formula_gets_an_apostrophe(start):
    frame = pd.DataFrame({f"{start}name": [f"{start}1+1", "plain"], "n": [-1.0, 2.0]})
    safe = harmless(frame)
    assert safe.columns[0] == f"'{start}name"
    assert list(safe.iloc[:, 0]) == [f"'{start}1+1", "plain"]
    assert list(safe.n) == [-1.0, 2.0]
    assert frame.columns[0] == f"{start}name"


@pytest.mark.parametrize(("front", "back", "least"), palette.PAIRS)
def test_every_pair_of_colours_can_be_read(front, back, least):
    assert palette.contrast(front, back) >= least


def test_contrast_is_that_of_wcag():
    assert palette.contrast("#000000", "#FFFFFF") == 21
    assert palette.contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.005)
    assert palette.contrast("#FFFFFF", "#777777") == palette.contrast("#777777", "#FFFFFF")


def test_no_colour_comes_from_elsewhere(report):
    """Colours of the page are those of the palette, whose pairs are measured."""
    known = {
        value.upper()
        for value in vars(palette).values()
        if isinstance(value, str) and value.startswith("#")
    }
    text = STYLE + report._repr_html_()
    used = {
        c.upper() for c in re.findall(r"(?:fill|stroke|color|background)[:=]\s*\"?(#\w+)", text)
    }
    used |= {c.upper() for c in re.findall(r"solid (#\w+)", STYLE)}
    assert used <= known
    assert palette.BLUE in used


def test_lines_differ_in_grey():
    looks = {(i % len(DASHES), i % len(MARKS)) for i in range(4)}
    assert len(looks) == 4
