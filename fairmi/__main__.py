"""The command line: `fairmi compare adult`, `fairmi audit --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from fairmi import __version__
from fairmi._data.options import add_jobs, new_folder, read_table


class OneLineParser(argparse.ArgumentParser):
    """A parser that answers wrong arguments with one line, not with its whole usage."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and where help is, and exit with status 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments`, by default those of the process, ask for.

    What is wrong with arguments or files is one line, and the status is 2.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = make_parser(given[:1])
    options = parser.parse_args(given)
    try:
        print(options.run(options))
    except (ValueError, OSError, ImportError) as error:
        parser.exit(2, f"fairmi {given[0]}: {' '.join(str(error).split())}\n")
    except KeyboardInterrupt:
        parser.exit(130, f"fairmi {given[0]}: interrupted\n")
    return 0


def make_parser(commands: Sequence[str] = ("audit", "monitor")) -> argparse.ArgumentParser:
    """Make the parser; options of commands that load scikit-learn only if among `commands`."""
    parser = OneLineParser(
        prog="fairmi", description="Fair classification by mutual-information debiasing."
    )
    parser.add_argument("--version", action="version", version=f"fairmi {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    add_compare_command(subparsers)
    if "audit" in commands:
        from fairmi.audit.command import add_audit_command

        add_audit_command(subparsers)
    else:
        subparsers.add_parser("audit", help="measure how fair a saved model is on a table of rows")
    if "monitor" in commands:
        from fairmi.audit.command import add_monitor_command

        add_monitor_command(subparsers)
    else:
        subparsers.add_parser("monitor", help="count new predictions and watch how groups differ")
    return parser


def add_compare_command(subparsers: argparse._SubParsersAction) -> None:
    """Add `compare` to the subparsers of a command line; its `run` takes the parsed arguments."""
    parser = subparsers.add_parser(
        "compare",
        help="compare fairmi with its peers, on a table of yours too",
        description=(
            "Print accuracy, fairness, leakage and fit time of fairmi and its peers, and, for a "
            "table of yours, which one to take under a bound."
        ),
    )
    add = parser.add_argument
    add(
        "data",
        type=data_to_compare,
        help="adult, german, wages, visits, or a CSV or Parquet file of rows",
    )
    add("--target", metavar="COLUMN", help="of a file: the labels, or numbers")
    add("--sensitive", nargs="+", metavar="COLUMN", help="of a file: the sensitive columns")
    add("--positive", metavar="LABEL", help="of a file: the label that matters")
    add(
        "--loss",
        choices=("auto", "squared_error", "poisson"),
        default="auto",
        help="of a file: predict a number, or a count (poisson), not a label",
    )
    add("--clusters", metavar="COLUMN", help="of a file: whose rows belong together")
    add(
        "--bound",
        type=float,
        default=None,
        help="demographic parity difference that is allowed (0.05); KS of numbers (0.1)",
    )
    add(
        "--data",
        dest="folder",
        metavar="DIR",
        help="folder of wages and visits, which are not packaged (FAIRMI_DATA)",
    )
    add(
        "--minutes",
        type=float,
        default=None,
        help="of a file: leave out the slow methods, to end in about so many minutes",
    )
    add(
        "--output",
        type=new_folder,
        metavar="DIR",
        help="save the table (CSV) and the picture (PNG)",
    )
    add("--fast", action="store_true", help="fewer rows, settings and folds, under a minute")
    add(
        "--without-sensitive",
        action="store_true",
        help="keep the sensitive column out of the features of all methods",
    )
    add("--methods", nargs="+", metavar="NAME", help="these alone, by their names in the table")
    add_jobs(parser)
    parser.set_defaults(run=run_compare)


def data_to_compare(text: str) -> str:
    """Return the name of a data set, or the path of a table."""
    if text in ("adult", "german", "wages", "visits") or text.endswith(
        (".csv", ".csv.gz", ".parquet", ".pq")
    ):
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} is neither adult, german, wages, visits nor a CSV or Parquet file"
    )


def run_compare(options: argparse.Namespace) -> str:
    """Compare as the options say, save what they ask for, and return the table as text."""
    # Loads torch, which the other commands do without.
    from fairmi.compare import DATASETS, compare

    if options.output is not None and find_spec("matplotlib") is None:
        raise ValueError(
            "--output saves a picture, which needs matplotlib: pip install matplotlib"
        )
    settings = {
        "methods": options.methods,
        "bound": "auto" if options.bound is None else options.bound,
        "minutes": options.minutes,
        "fast": options.fast,
        "without_sensitive": options.without_sensitive,
        "n_jobs": options.n_jobs,
    }
    if options.data in DATASETS:
        comparison = compare(options.data, folder=options.folder, **settings)
    else:
        if options.target is None or options.sensitive is None:
            raise ValueError("--target and --sensitive name columns of the file; give both.")
        clusters = [options.clusters] if options.clusters else []
        named = [options.target, *options.sensitive, *clusters]
        table = read_table(Path(options.data), named)
        comparison = compare(
            table.drop(columns=[options.target, *clusters]),
            table[options.target],
            sensitive_features=options.sensitive,
            positive=options.positive,
            loss=options.loss,
            clusters=table[clusters[0]] if clusters else None,
            **settings,
        )
    saved = comparison.save(options.output) if options.output else []
    return "\n".join([str(comparison), *(f"saved {path}" for path in saved)])


if __name__ == "__main__":
    sys.exit(main())
