"""The command line: `fairmi compare adult`, `fairmi audit --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, NoReturn

from fairmi import __version__
from fairmi._data.options import add_jobs, new_folder


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
        from fairmi.audit.monitor_command import add_monitor_command

        add_monitor_command(subparsers)
    else:
        subparsers.add_parser("monitor", help="count new predictions and watch how groups differ")
    return parser


def add_compare_command(subparsers: Any) -> None:
    """Add `compare` to the subparsers of a command line; its `run` takes the parsed arguments."""
    parser = subparsers.add_parser(
        "compare",
        help="compare fairmi with its peers on a data set",
        description="Print accuracy, fairness, leakage and fit time of fairmi and its peers.",
    )
    parser.add_argument("dataset", choices=("adult", "german"))
    parser.add_argument(
        "--output",
        type=new_folder,
        metavar="DIR",
        help="save the table (CSV) and the picture (PNG)",
    )
    parser.add_argument(
        "--fast", action="store_true", help="fewer rows, settings and folds, under a minute"
    )
    parser.add_argument(
        "--without-sensitive",
        action="store_true",
        help="keep the sensitive column out of the features of all methods",
    )
    parser.add_argument(
        "--methods", nargs="+", metavar="NAME", help="these alone, by their names in the table"
    )
    add_jobs(parser)
    parser.set_defaults(run=run_compare)


def run_compare(options: argparse.Namespace) -> str:
    """Compare as the options say, save what they ask for, and return the table as text."""
    # Loads torch, which the other commands do without.
    from fairmi.compare import compare, methods_named

    if options.output is not None and find_spec("matplotlib") is None:
        raise SystemExit(
            "--output saves a picture, which needs matplotlib: pip install matplotlib"
        )

    methods = None if options.methods is None else methods_named(options.methods)
    comparison = compare(
        options.dataset,
        methods=methods,
        fast=options.fast,
        without_sensitive=options.without_sensitive,
        n_jobs=options.n_jobs,
    )
    saved = comparison.save(options.output) if options.output else []
    return "\n".join([str(comparison), *(f"saved {path}" for path in saved)])


if __name__ == "__main__":
    sys.exit(main())
