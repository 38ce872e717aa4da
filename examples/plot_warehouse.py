"""
Predictions that lie in a warehouse
===================================

A year of decisions doesn't fit into memory, and needn't. `audit(table=...)` takes names of
columns, and the rows are counted where they lie: by DuckDB here, in a folder of Parquet files; by
polars or Dask alike. All figures that are counts equal those of the rows in memory to the last
digit. What a probe recovers is of a random sample, whose size and seed a note says.
"""

import tempfile
from pathlib import Path

import duckdb
import matplotlib.pyplot as plt

from fairmi.audit import audit
from fairmi.plot import GroupMetricsDisplay

MONTH = """
select case when hash(range) % 10 < 4 then 'women' else 'men' end as sex,
       'branch ' || (hash(range + 1) % 6)::varchar as branch,
       hash(range + 2) % 100 < 35 + 4 * (hash(range + 1) % 6) as repaid,
       hash(range + 3) % 100 < 30 + 20 * (hash(range + 2) % 100 < 40)::int
           + 3 * (hash(range + 1) % 6) * (hash(range) % 10 >= 4)::int as granted
from range({first}, {first} + 25000)
"""
folder = Path(tempfile.mkdtemp())
for month in range(12):
    rows = duckdb.sql(MONTH.format(first=month * 25_000))
    rows.write_parquet(str(folder / f"month_{month:02}.parquet"))

# %%
# The relation below reads nothing yet. Each condition is one more count of the same files.
report = audit(
    table=duckdb.read_parquet(str(folder / "*.parquet")),
    y="repaid",
    y_pred="granted",
    sensitive_features=["sex"],
    conditions=["branch"],
    random_state=0,
)
print(f"{report.about['rows']:,} rows")
print(*report.notes, sep="\n")

# %%
# Rates by sex over the whole year. From a shell, `fairmi audit --data FOLDER --prediction granted
# --target repaid --sensitive sex --conditions branch` prints the whole report.
GroupMetricsDisplay(report.section("group")).plot()

# %%
# And within each branch, with intervals that hold for all branches at once.
parts = sorted(report.section("conditional"), key=lambda figure: figure.part)
ax = plt.subplots(layout="constrained")[1]
for place, figure in enumerate(parts):
    ax.plot([figure.low, figure.high], [place, place], color="C0")
    ax.plot(figure.value, place, "o", color="C0")
ax.axvline(0, color="grey", lw=1)
ax.set_yticks(range(len(parts)), [figure.part.removeprefix("branch = ") for figure in parts])
ax.set(xlabel="difference of the shares that are granted a loan")
plt.show()
