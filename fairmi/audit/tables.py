"""The sections of a report: for each kind of figures its words, and its table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from fairmi.audit import measures
from fairmi.audit.findings import Figures, interval, known_words, number, p_text
from fairmi.audit.measures import BESIDE_SCORE, Figure, name_of, worst

MAX_PARTS = 15  # parts of the rows shown, of those within which groups are compared
# Columns whose cells say what a row is of.
OF_ROW = ("group", "class", "measure", "within", "rate", "from", "rows of", "how", "of", "columns")

Cell = str | Figure  # a figure as a cell shows its value with its interval
Row = dict[str, Cell]  # by the header of the column


class Section(NamedTuple):
    """A kind of figures: its words, and of figures of one sensitive feature the rows of a table.

    `of_numbers` is what introduces it where a regressor is audited, if that is something else.
    """

    title: str
    words: str
    lay_out: Callable[[Figures, list[Figure]], list[Row]]
    of_numbers: str = ""


@dataclass(frozen=True)
class Table:
    """A section's table of one sensitive feature; `rows` are as wide as `header`."""

    section: str
    attribute: str
    title: str
    introduction: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def full_title(self) -> str:
        """The title with the sensitive feature's name."""
        return f"{self.title}: {self.attribute}"

    @property
    def n_headers(self) -> int:
        """How many of a row's first cells say what it is of."""
        return sum(name in OF_ROW for name in self.header)


def tables_of(audit: Figures, attribute: str | None = None) -> list[Table]:
    """Return the tables of an audit, attribute by attribute, or those of one attribute."""
    tables = []
    for name in audit.attributes if attribute is None else [attribute]:
        for section, (title, words, lay_out, of_numbers) in SECTIONS.items():
            figures = audit.section(section, name)
            if figures:
                if audit.of_numbers:
                    title = "Figures by group" if section == "group" else title
                    words = of_numbers or words
                rows = lay_out(audit, figures)
                cells = tuple(tuple(row.values()) for row in rows)
                tables.append(Table(section, name, title, words, tuple(rows[0]), cells))
    return tables


def _rates(audit: Figures, figures: list[Figure]) -> list[Row]:
    """Lay out a row for each group, and with more than two classes for each class in it."""
    shown = {f.measure for f in figures}
    cells = {(f.group, f.subject, f.measure): f for f in figures}
    sizes = audit.about["groups"].get(figures[0].attribute, {})
    by_class = any(f.subject for f in figures)
    rows: list[Row] = []
    for group, subject in dict.fromkeys((f.group, f.subject) for f in figures):
        row: Row = {"group": group, "class": subject} if by_class else {"group": group}
        row["rows"] = f"{sizes[group]:,}" if group in sizes and not subject else ""
        for rate in measures.figures_of_groups():
            if rate in shown:
                row[name_of(rate)] = cells.get((group, subject, rate), "")
        rows.append(row)
    return rows


def _disparities(audit: Figures, figures: list[Figure]) -> list[Row]:
    return [
        {
            "measure": name_of(f.measure),
            "difference": f.verdict,
            "value": f,
            "by chance": number(f.by_chance),
            "largest in": f.most if f.value == f.value else "",
            "smallest in": f.least if f.value == f.value else "",
        }
        for f in figures
    ]


def _conditional(audit: Figures, figures: list[Figure]) -> list[Row]:
    """Lay out the worst parts: the two groups furthest apart there, and the distances."""
    most, least, *apart = ("selected most", "selected least", "apart by")
    if audit.of_numbers:
        most, least, *apart = ("largest mean", "smallest mean", "means apart", "KS distance")
        apart.append("Wasserstein-1")
    rows: list[Row] = []
    for k in range(0, min(len(figures), MAX_PARTS * len(apart)), len(apart)):
        of_part = figures[k : k + len(apart)]
        first, ends = of_part[0], []
        for group in (first.most, first.least):
            rate = audit.rate_of("conditional group", first, group)
            ends.append(f"{group}: {rate}" if rate else group)
        row: Row = {
            "within": first.part + (f", class {first.subject}" if first.subject else ""),
            "difference": worst(of_part),
            "rows": f"{first.n:,}",
            most: ends[0],
            least: ends[1],
        }
        rows.append(row | dict(zip(apart, of_part, strict=True)))
    return rows


def _changes(audit: Figures, figures: list[Figure]) -> list[Row]:
    """Lay out both models side by side, over all rows and between groups."""

    def what(f: Figure) -> tuple[str, str, str]:
        # A difference is of the class where it is largest, which may be another one in each model.
        return f.attribute, f.measure, "" if f.attribute else f.subject

    sections = {"model": ("overall", "disparity"), "baseline": ("baseline",)}
    measured = {
        model: {what(f): f for section in of_model for f in audit.section(section)}
        for model, of_model in sections.items()
    }
    return [
        {
            "measure": name_of(f.measure) + (f" of {f.subject}" if f.subject else ""),
            "finding": f.verdict,
            **{model: of.get(what(f), "") for model, of in measured.items()},
            "change": number(f.value, signed=True),
            "its interval": interval(f, signed=True),
        }
        for f in audit.section("change", "") + figures
    ]


def _calibrations(audit: Figures, figures: list[Figure]) -> list[Row]:
    by_group: dict[str, dict[str, Figure]] = {}
    for f in figures:
        by_group.setdefault(f.group, {})[f.measure] = f
    return [
        {
            "group": group,
            "error": error.verdict,
            "rows": f"{error.n:,}",
            name_of(error.measure): number(error.value),
            "by chance": number(error.by_chance),
            name_of(excess.measure): number(excess.value, signed=True),
            "its interval": interval(excess, signed=True),
        }
        for group, (error, excess) in ((g, of.values()) for g, of in by_group.items())
    ]


def _leaks(audit: Figures, figures: list[Figure]) -> list[Row]:
    """Lay out what was examined, the score of the best probe, and the test beside it."""
    beside = {(f.subject, f.given, f.measure): f for f in figures}
    scores = [f for f in figures if f.measure not in BESIDE_SCORE]
    score = " or ".join(dict.fromkeys(name_of(f.measure) for f in scores))
    return [
        {
            "from": f.subject,
            "rows of": known_words(f).strip() or "all",
            "leak": f.verdict,
            score: f,
            "by chance": number(f.by_chance),
            "balanced accuracy": number(beside[f.subject, f.given, "balanced_accuracy"].value),
            "p-value": p_text(beside[f.subject, f.given, "p_value"]),
        }
        for f in scores
    ]


def _informations(audit: Figures, figures: list[Figure]) -> list[Row]:
    return [
        {
            "from": f.subject,
            "how": known_words(f).strip() or "by itself",
            "information": f.verdict,
            name_of("mutual_information"): f,
            "by chance": number(f.by_chance),
        }
        for f in figures
    ]


def _certificates(audit: Figures, figures: list[Figure]) -> list[Row]:
    any_of = {"classifier": "any classifier", "threshold": "any threshold"}
    if audit.of_numbers:
        any_of["classifier"] = "all that is computed from them"
    rows: dict[tuple[str, str], Row] = {}
    for f in figures:
        row = rows.setdefault((f.subject, f.against), {"from": f.subject, "of": any_of[f.against]})
        none = "none: too many values" if f.against == "classifier" else "none"
        row[name_of(f.measure)] = number(f.value) if f.verdict else none
    return list(rows.values())


def _probable(audit: Figures, figures: list[Figure]) -> list[Row]:
    """Lay out pairs of groups: the weighted difference, and between what it can lie."""
    by_pair: dict[tuple[str, ...], list[Figure]] = {}
    for f in figures:
        by_pair.setdefault((f.rate, f.subject, f.most, f.least), []).append(f)
    return [
        {
            "rate": name_of(rate) + (f" of {subject}" if subject else ""),
            "difference": of_pair[0].verdict,
            "groups": f"{most} above {least}",
            **dict(zip(("weighted", "at least", "at most"), of_pair, strict=True)),
        }
        for (rate, subject, most, least), of_pair in by_pair.items()
    ]


def _importances(audit: Figures, figures: list[Figure]) -> list[Row]:
    """Lay out columns by measures, in the order of what goes of the first."""
    rows: dict[str, Row] = {}
    for f in figures:
        row = rows.setdefault(f.subject, {"columns": f.subject})
        row[name_of(f"{f.measure}_gap")] = f
    return list(rows.values())


SECTIONS = {
    "probable group": Section(
        "Rates by group, weighted",
        "Each row counts in each group by its probability. These are the groups' rates where the "
        "decision is independent of the group given what the probabilities were made of.",
        _rates,
    ),
    "probable": Section(
        "Differences between groups that are known by probabilities",
        "The weighted difference is right where the decision is independent of the group given "
        "what the probabilities were made of, which no data without the groups can show. Beside "
        "it stands what the difference is at least and at most for any truth that fits the "
        "probabilities, and under these how far the error of the sample may take them. Found: it "
        "is there for any such truth. Unclear: the weighted figure alone says so.",
        _probable,
    ),
    "group": Section(
        "Rates by group",
        "How often the model is right, and whom it selects, in each group.",
        _rates,
        "What is predicted in each group, and how far that is from y. Each interval holds by "
        "itself.",
    ),
    "disparity": Section(
        "Differences between groups",
        "The difference between the groups that are furthest apart; groups of fewer than 30 rows "
        "are left out, unless fewer than two have as many. 'By chance' is the largest difference "
        "(the smallest ratio) that a fair model is likely to show on as many rows. A difference "
        "is called found where its interval leaves out equality and the value is beyond chance; "
        "where one of the two is so alone, it is unclear. A ratio says the same of the same "
        "groups and has the difference's verdict. None found is no proof of fairness: the "
        "interval says what the data allow.",
        _disparities,
        "The difference between the groups that are furthest apart; groups of fewer than 30 "
        "rows are left out, unless fewer than two have as many. 'By chance' is the largest "
        "difference that a model is likely to show on as many rows where groups are alike. A "
        "difference is called found where its interval leaves out 0 and the value is beyond "
        "chance; where one of the two is so alone, it is unclear. KS alone misleads: it looks "
        "at one threshold at a time, and can be small where a probe of the same predictions "
        "tells the groups apart, as the table of what a fresh probe recovers says.",
    ),
    "conditional": Section(
        "Differences within parts of the rows",
        "Groups are compared among rows that have a column in common (or, of more than two "
        "classes, the label): what is equal over all rows can differ in each part. The worst come "
        "first. Intervals hold for all parts and pairs of groups at once, so that they are wider "
        "than one alone would be; groups of fewer than 30 rows in a part are left out of it.",
        _conditional,
        "Groups are compared among rows that have a column in common, or y in one range: what "
        "is equal over all rows can differ in each part. The worst come first. Intervals hold "
        "for all parts and pairs of groups at once, so that they are wider than one alone "
        "would be; groups of fewer than 30 rows in a part are left out of it.",
    ),
    "change": Section(
        "Against the baseline",
        "Both models on the same rows, and the model less the baseline. Chance does not explain a "
        "change whose interval leaves out 0.",
        _changes,
    ),
    "baseline group": Section(
        "The baseline's rates by group",
        "How often the baseline is right, and whom it selects, in each group.",
        _rates,
        "What the baseline predicts in each group, and how far that is from y.",
    ),
    "calibration": Section(
        "Calibration by group",
        "Whether a score means the same in every group. 'By chance' is the largest error that "
        "calibrated scores are likely to show on as many rows; it and the intervals hold for all "
        "groups at once. An error is found where it is beyond chance, and unclear where the "
        "interval of the mean alone leaves out 0.",
        _calibrations,
        "Whether a predicted number means the same in every group: predictions against the "
        "mean of y, in ten bins of about as many rows. 'By chance' is the largest error that "
        "predictions without one are likely to show on as many rows; it and the intervals "
        "hold for all groups at once.",
    ),
    "leakage": Section(
        "What a fresh probe recovers",
        "Probes trained from scratch for this audit try to tell the group from what the model "
        "gives away, and are scored on rows they were not trained on; the best of them counts. "
        "They do so on all rows and, given the label, on the rows of each label by themselves: "
        "with the label, more may be told. 'By chance' is the largest score that they are likely "
        "to reach where there is nothing to find. A leak is found where a test says so (p-value "
        "up to 0.01), and unclear where the score alone is beyond chance. Intervals here are of "
        "95 %; scores of few independent rows have none.",
        _leaks,
    ),
    "information": Section(
        "Mutual information",
        "How much is told of the group, in nats: by itself, and to someone who knows the label. "
        "Where values take few forms this is an estimate of all of it; else it is what probes "
        "find, so that there may be more. 'By chance' is the largest value that is likely to be "
        "found where there is nothing.",
        _informations,
    ),
    "importance": Section(
        "Which columns carry the gap",
        "How much of the gap between the groups furthest apart goes where a column is permuted: "
        "what this model reads from it. That is no causal statement: a model trained without the "
        "column may read the same from others.",
        _importances,
    ),
    "certificate": Section(
        "Certificate",
        "Bounds on what anyone can build from these values: any classifier, which only values "
        "that take few forms can have a bound for, and any threshold on the scores, which all "
        "scores can. Each holds at the confidence of this audit, if these rows took no part in "
        "training, nor in the choice of the model.",
        _certificates,
        "Bounds on how far the groups' distributions are apart: of anything that is computed "
        "from values that take few forms, and of the predictions one threshold at a time. "
        "Means and Wasserstein-1 then differ by at most the bound times the largest less the "
        "smallest prediction. Each holds at the confidence of this audit, if these rows took "
        "no part in training, nor in the choice of the model.",
    ),
}
