"""Days since 1970 -> the parts of the calendar that recur, in a graph."""

from __future__ import annotations

from fairmi.export._graph import Graph

# The Gregorian calendar repeats after 400 years. Years are counted from March, so that a leap day
# is the last of its year, and from 1 March of the year 0.
_DAYS_TO_1970 = 719_468
_CYCLE, _CENTURY, _FOUR_YEARS = 146_097, 36_524, 1_460


def add_calendar_parts(graph: Graph, days: str) -> list[str]:
    """Return month, day of the month, day of the week and hour of days (n_rows, 1), as tensors.

    As `fairmi.preprocessing.calendar_parts` has them. float64 holds all steps exactly.
    """
    c = _Arithmetic(graph)
    whole = graph.op("Floor", days)
    since = c.plus(whole, _DAYS_TO_1970)
    of_cycle = c.modulo(since, _CYCLE)
    leaps = graph.op(
        "Sub",
        graph.op("Add", c.parts(of_cycle, _FOUR_YEARS), c.parts(of_cycle, _CYCLE - 1)),
        c.parts(of_cycle, _CENTURY),
    )
    year = c.parts(graph.op("Sub", of_cycle, leaps), 365)
    before = graph.op(
        "Sub", graph.op("Add", c.times(year, 365), c.parts(year, 4)), c.parts(year, 100)
    )
    of_year = graph.op("Sub", of_cycle, before)
    # From March on, five months have 153 days.
    month = c.parts(c.plus(c.times(of_year, 5), 2), 153)
    of_month = graph.op("Sub", of_year, c.parts(c.plus(c.times(month, 153), 2), 5))
    return [
        c.plus(c.modulo(c.plus(month, 2), 12), 1),
        c.plus(of_month, 1),
        c.modulo(c.plus(whole, 3), 7),
        c.times(graph.op("Sub", days, whole), 24),
    ]


class _Arithmetic:
    """Operators between a tensor and a number."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def plus(self, of: str, number: float) -> str:
        return self._graph.op("Add", of, self._graph.constant([number]))

    def times(self, of: str, number: float) -> str:
        return self._graph.op("Mul", of, self._graph.constant([number]))

    def parts(self, of: str, size: float) -> str:
        """Return the whole parts of a size."""
        return self._graph.op("Floor", self._graph.op("Div", of, self._graph.constant([size])))

    def modulo(self, of: str, size: float) -> str:
        return self._graph.op("Sub", of, self.times(self.parts(of, size), size))
