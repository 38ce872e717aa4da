"""The sections of a report: for each kind of figures its words, and how it is laid out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fairmi.audit import measures
from fairmi.audit.findings import Figures, interval, known_words, number, p_text
from fairmi.audit.measures import BESIDE_SCORE, Figure, name_of, worst

MAX_PARTS = 15  # parts of the rows shown, of those within which groups are compared

Cell = str | Figure  # a figure as a cell shows its value with its interval
Layout = tuple[tuple[str, ...], list[tuple[Cell, ...]], int]


@dataclass(frozen=True)
class Section:
    """A kind of figures: its name in `Figure.section`, its title and words, and its layout.

    `lay_out` takes an audit and a sensitive feature, and returns the header of a table, its rows,
    and how many of its first cells say what a row is of.
    """

    name: str
    title: str
    introduction: str
    lay_out: Callable[[Figures, str], Layout]


@dataclass(frozen=True)
class Table:
    """A section's table of one sensitive feature; `rows` are as wide as `header`."""

    section: str
    attribute: str
    title: str
    introduction: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    n_headers: int = 1

    @property
    def full_title(self) -> str:
        """The title with the sensitive feature's name."""
        return f"{self.title}: {self.attribute}"


def tables_of(audit: Figures, attribute: str | None = None) -> list[Table]:
    """Return the tables of an audit, attribute by attribute, or those of one attribute."""
    tables, titles = [], {"group": "Figures by group"} if audit.of_numbers else {}
    for name in audit.attributes if attribute is None else [attribute]:
        for section in SECTIONS:
            if audit.section(section.name, name):
                words = section.introduction
                if audit.of_numbers:
                    words = OF_NUMBERS.get(section.name, words)
                header, rows, n_headers = section.lay_out(audit, name)
                of = (section.name, name, titles.get(section.name, section.title), words)
                tables.append(Table(*of, header, tuple(rows), n_headers))
    return tables


def _rates_of(section: str) -> Callable[[Figures, str], Layout]:
    """Lay out a row for each group, and with more than two classes for each class in it."""

    def lay_out(audit: Figures, attribute: str) -> Layout:
        figures = audit.section(section, attribute)
        shown = {f.measure for f in figures}
        rates = [name for name in measures.figures_of_groups() if name in shown]
        cells = {(f.group, f.subject, f.measure): f for f in figures}
        keys = list(dict.fromkeys((f.group, f.subject) for f in figures))
        by_class = any(subject for _, subject in keys)
        header = ("group", *(("class",) if by_class else ()), "rows", *map(name_of, rates))
        sizes = audit.about["groups"].get(attribute, {})
        rows: list[tuple[Cell, ...]] = []
        for group, subject in keys:
            of_group = [cells.get((group, subject, rate), "") for rate in rates]
            size = f"{sizes[group]:,}" if group in sizes and not (by_class and subject) else ""
            rows.append((group, *((subject,) if by_class else ()), size, *of_group))
        return header, rows, 1 + by_class

    return lay_out


def _disparities(audit: Figures, attribute: str) -> Layout:
    rows: list[tuple[Cell, ...]] = [
        (
            name_of(f.measure),
            f.verdict,
            f,
            number(f.by_chance),
            *((f.most, f.least) if f.value == f.value else ("", "")),
        )
        for f in audit.section("disparity", attribute)
    ]
    header = ("measure", "difference", "value", "by chance", "largest in", "smallest in")
    return header, rows, 1


def _conditional(audit: Figures, attribute: str) -> Layout:
    """Lay out the worst parts, and the groups selected most and least often there."""
    if audit.of_numbers:
        return _conditional_numbers(audit, attribute)
    rows: list[tuple[Cell, ...]] = []
    for f in audit.section("conditional", attribute)[:MAX_PARTS]:
        part = f.part + (f", class {f.subject}" if f.subject else "")
        ends = [_of_group(audit, f, group) for group in (f.most, f.least)]
        rows.append((part, f.verdict, f"{f.n:,}", *ends, f))
    header = ("within", "difference", "rows", "selected most", "selected least", "apart by")
    return header, rows, 1


def _conditional_numbers(audit: Figures, attribute: str) -> Layout:
    """Lay out the worst parts: means of the two groups furthest apart, and the distances."""
    by_part: dict[str, list[Figure]] = {}
    for f in audit.section("conditional", attribute):
        by_part.setdefault(f.part, []).append(f)
    rows: list[tuple[Cell, ...]] = []
    for part, of_part in list(by_part.items())[:MAX_PARTS]:
        mean = of_part[0]
        ends = [_of_group(audit, mean, group) for group in (mean.most, mean.least)]
        rows.append((part, worst([f.verdict for f in of_part]), f"{mean.n:,}", *ends, *of_part))
    names = ("means apart", "KS distance", "Wasserstein-1")
    header = ("within", "difference", "rows", "largest mean", "smallest mean", *names)
    return header, rows, 1


def _of_group(audit: Figures, figure: Figure, group: str) -> str:
    rate = audit.rate_of("conditional group", figure, group)
    return f"{group}: {number(rate.value)}" if rate else group


def _changes(audit: Figures, attribute: str) -> Layout:
    """Lay out both models side by side, over all rows and between groups."""
    rows: list[tuple[Cell, ...]] = []
    for name, ours, theirs in (("", "overall", "baseline"), (attribute, "disparity", "baseline")):
        by_measure = [
            {f.measure: f for f in audit.section(section, name) if name or not f.subject}
            for section in (ours, theirs)
        ]
        for f in audit.section("change", name):
            before_and_after = [figures.get(f.measure, "") for figures in by_measure]
            change = (number(f.value, signed=True), interval(f, signed=True))
            rows.append((name_of(f.measure), f.verdict, *before_and_after, *change))
    header = ("measure", "finding", "model", "baseline", "change", "its interval")
    return header, rows, 1


def _calibrations(audit: Figures, attribute: str) -> Layout:
    figures = audit.section("calibration", attribute)
    by_measure = {(f.group, f.measure): f for f in figures}
    rows: list[tuple[Cell, ...]] = []
    measured = list(dict.fromkeys(f.measure for f in figures))
    for group in dict.fromkeys(f.group for f in figures):
        error, excess = (by_measure[group, measure] for measure in measured)
        rows.append(
            (
                group,
                error.verdict,
                f"{error.n:,}",
                number(error.value),
                number(error.by_chance),
                number(excess.value, signed=True),
                interval(excess, signed=True),
            )
        )
    names = [name_of(measure) for measure in measured]
    return ("group", "error", "rows", names[0], "by chance", names[1], "its interval"), rows, 1


def _leaks(audit: Figures, attribute: str) -> Layout:
    """Lay out what was examined, the score of the best probe, and the test beside it."""
    figures = audit.section("leakage", attribute)
    by_measure = {(f.subject, f.given, f.measure): f for f in figures}
    scores = [f for f in figures if f.measure not in BESIDE_SCORE]
    rows: list[tuple[Cell, ...]] = [
        (
            f.subject,
            known_words(f).strip() or "all",
            f.verdict,
            f,
            number(f.by_chance),
            number(by_measure[f.subject, f.given, "balanced_accuracy"].value),
            p_text(by_measure[f.subject, f.given, "p_value"].value),
        )
        for f in scores
    ]
    names = list(dict.fromkeys(name_of(f.measure) for f in scores))
    header = ("from", "rows of", "leak", " or ".join(names), "by chance", "balanced accuracy")
    return (*header, "p-value"), rows, 2


def _informations(audit: Figures, attribute: str) -> Layout:
    rows: list[tuple[Cell, ...]] = [
        (
            f.subject,
            known_words(f).strip() or "by itself",
            f.verdict,
            f,
            number(f.by_chance),
        )
        for f in audit.section("information", attribute)
    ]
    return ("from", "how", "information", name_of("mutual_information"), "by chance"), rows, 2


def _certificates(audit: Figures, attribute: str) -> Layout:
    figures = audit.section("certificate", attribute)
    by = {(f.subject, f.against, f.measure): f for f in figures}
    bounds = list(dict.fromkeys(f.measure for f in figures))
    any_of = {"classifier": "any classifier", "threshold": "any threshold"}
    if audit.of_numbers:
        any_of["classifier"] = "all that is computed from them"
    rows: list[tuple[Cell, ...]] = [
        (subject, any_of[against], *(_bound(by[subject, against, bound]) for bound in bounds))
        for subject, against in dict.fromkeys((f.subject, f.against) for f in figures)
    ]
    return ("from", "of", *map(name_of, bounds)), rows, 2


def _bound(figure: Figure) -> str:
    if figure.verdict:
        return number(figure.value)
    return "none: too many values" if figure.against == "classifier" else "none"


# The introductions of a regressor's sections, where they are others.
OF_NUMBERS = {
    "group": (
        "What is predicted in each group, and how far that is from y. Each interval holds by "
        "itself."
    ),
    "disparity": (
        "The difference between the groups that are furthest apart; groups of fewer than 30 "
        "rows are left out, unless fewer than two have as many. 'By chance' is the largest "
        "difference that a model is likely to show on as many rows where groups are alike. A "
        "difference is called found where its interval leaves out 0 and the value is beyond "
        "chance; where one of the two is so alone, it is unclear. KS alone misleads: it looks "
        "at one threshold at a time, and can be small where a probe of the same predictions "
        "tells the groups apart, as the table of what a fresh probe recovers says."
    ),
    "conditional": (
        "Groups are compared among rows that have a column in common, or y in one range: what "
        "is equal over all rows can differ in each part. The worst come first. Intervals hold "
        "for all parts and pairs of groups at once, so that they are wider than one alone "
        "would be; groups of fewer than 30 rows in a part are left out of it."
    ),
    "baseline group": ("What the baseline predicts in each group, and how far that is from y."),
    "calibration": (
        "Whether a predicted number means the same in every group: predictions against the "
        "mean of y, in ten bins of about as many rows. 'By chance' is the largest error that "
        "predictions without one are likely to show on as many rows; it and the intervals "
        "hold for all groups at once."
    ),
    "certificate": (
        "Bounds on how far the groups' distributions are apart: of anything that is computed "
        "from values that take few forms, and of the predictions one threshold at a time. "
        "Means and Wasserstein-1 then differ by at most the bound times the largest less the "
        "smallest prediction. Each holds at the confidence of this audit, if these rows took "
        "no part in training, nor in the choice of the model."
    ),
}


def _probable(audit: Figures, attribute: str) -> Layout:
    """Lay out pairs of groups: the weighted difference, and between what it can lie."""
    by_pair: dict[tuple[str, ...], list[Figure]] = {}
    for f in audit.section("probable", attribute):
        by_pair.setdefault((f.rate, f.subject, f.most, f.least), []).append(f)
    rows: list[tuple[Cell, ...]] = [
        (
            name_of(rate) + (f" of {subject}" if subject else ""),
            of_pair[0].verdict,
            f"{most} above {least}",
            *of_pair,
        )
        for (rate, subject, most, least), of_pair in by_pair.items()
    ]
    return ("rate", "difference", "groups", "weighted", "at least", "at most"), rows, 1


def _importances(audit: Figures, attribute: str) -> Layout:
    """Lay out columns by measures, in the order of what goes of the first."""
    figures = audit.section("importance", attribute)
    by_measure: dict[str, dict[str, Figure]] = {}
    for f in figures:
        by_measure.setdefault(f.measure, {})[f.subject] = f
    rows: list[tuple[Cell, ...]] = [
        (columns, *(of[columns] for of in by_measure.values()))
        for columns in dict.fromkeys(f.subject for f in figures)
    ]
    return ("columns", *(name_of(f"{m}_gap") for m in by_measure)), rows, 1


SECTIONS = (
    Section(
        "probable group",
        "Rates by group, weighted",
        "Each row counts in each group by its probability. These are the groups' rates where the "
        "decision is independent of the group given what the probabilities were made of.",
        _rates_of("probable group"),
    ),
    Section(
        "probable",
        "Differences between groups that are known by probabilities",
        "The weighted difference is right where the decision is independent of the group given "
        "what the probabilities were made of, which no data without the groups can show. Beside "
        "it stands what the difference is at least and at most for any truth that fits the "
        "probabilities, and under these how far the error of the sample may take them. Found: it "
        "is there for any such truth. Unclear: the weighted figure alone says so.",
        _probable,
    ),
    Section(
        "group",
        "Rates by group",
        "How often the model is right, and whom it selects, in each group.",
        _rates_of("group"),
    ),
    Section(
        "disparity",
        "Differences between groups",
        "The difference between the groups that are furthest apart; groups of fewer than 30 rows "
        "are left out, unless fewer than two have as many. 'By chance' is the largest difference "
        "(the smallest ratio) that a fair model is likely to show on as many rows. A difference "
        "is called found where its interval leaves out equality and the value is beyond chance; "
        "where one of the two is so alone, it is unclear. A ratio says the same of the same "
        "groups and has the difference's verdict. None found is no proof of fairness: the "
        "interval says what the data allow.",
        _disparities,
    ),
    Section(
        "conditional",
        "Differences within parts of the rows",
        "Groups are compared among rows that have a column in common (or, of more than two "
        "classes, the label): what is equal over all rows can differ in each part. The worst come "
        "first. Intervals hold for all parts and pairs of groups at once, so that they are wider "
        "than one alone would be; groups of fewer than 30 rows in a part are left out of it.",
        _conditional,
    ),
    Section(
        "change",
        "Against the baseline",
        "Both models on the same rows, and the model less the baseline. Chance does not explain a "
        "change whose interval leaves out 0.",
        _changes,
    ),
    Section(
        "baseline group",
        "The baseline's rates by group",
        "How often the baseline is right, and whom it selects, in each group.",
        _rates_of("baseline group"),
    ),
    Section(
        "calibration",
        "Calibration by group",
        "Whether a score means the same in every group. 'By chance' is the largest error that "
        "calibrated scores are likely to show on as many rows; it and the intervals hold for all "
        "groups at once. An error is found where it is beyond chance, and unclear where the "
        "interval of the mean alone leaves out 0.",
        _calibrations,
    ),
    Section(
        "leakage",
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
    Section(
        "information",
        "Mutual information",
        "How much is told of the group, in nats: by itself, and to someone who knows the label. "
        "Where values take few forms this is an estimate of all of it; else it is what probes "
        "find, so that there may be more. 'By chance' is the largest value that is likely to be "
        "found where there is nothing.",
        _informations,
    ),
    Section(
        "importance",
        "Which columns carry the gap",
        "How much of the gap between the groups furthest apart goes where a column is permuted: "
        "what this model reads from it. That is no causal statement: a model trained without the "
        "column may read the same from others.",
        _importances,
    ),
    Section(
        "certificate",
        "Certificate",
        "Bounds on what anyone can build from these values: any classifier, which only values "
        "that take few forms can have a bound for, and any threshold on the scores, which all "
        "scores can. Each holds at the confidence of this audit, if these rows took no part in "
        "training, nor in the choice of the model.",
        _certificates,
    ),
)
