"""Write a report of the models in dbt/ as one HTML file, which needs no network and runs no script.

Usage: python report.py MODELS.duckdb REPORT.html [RUN_RESULTS.json]
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import date
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import charts
import duckdb

if TYPE_CHECKING:
    from collections.abc import Callable

Row = tuple[Any, ...]

WORKSPACES = "select coalesce(name, workspace_gid) from int_asana_export__workspaces order by 1"
NOW = "set variable now = (select max(as_of) from int_asana_export__workspaces)"


@dataclass(frozen=True)
class Figure:
    """A chart with its table.

    Attributes:
        title: what it answers.
        note: how to read it.
        query: its rows.
        columns: the names of their columns.
        draw: makes the chart; None: the table is all there is.
        legend: what the colours are.
    """

    title: str
    note: str
    query: str
    columns: tuple[str, ...]
    draw: Callable[[list[Row], str], str] | None = None
    legend: tuple[str, ...] = ()


NUMBERS = {
    "open tasks": "select count(*) from asana_tasks where not is_completed",
    "overdue": "select count(*) from asana_tasks where is_overdue",
    "open, nobody has them": "select count(*) from asana_tasks where not is_completed and assignee_gid is null",
    "created in 7 days": "select count(*) from asana_tasks where created_at > getvariable('now') - interval 7 days",
    "completed in 7 days": "select count(*) from asana_tasks where completed_at > getvariable('now') - interval 7 days",
    "days from start to completion, median of the past year": """
        select median(cycle_days) from asana_tasks
        where completed_at > getvariable('now') - interval 365 days and cycle_days > 0
    """,
}

FIGURES = (
    Figure(
        "Does more come in than gets done?",
        "Tasks created and completed by week; the last one is not over.",
        """
        select cast(date_trunc('week', day) as date) as week, sum(created), sum(completed)
        from asana_daily_metrics
        where scope = 'workspace' and day >= date_trunc('week', cast(getvariable('now') as date)) - interval 12 weeks
        group by week order by week
        """,
        ("week of", "created", "completed"),
        lambda rows, alt: charts.columns([(day(week), numbers) for week, *numbers in rows], alt),
        ("created", "completed"),
    ),
    Figure(
        "Is the pile growing?",
        "Open tasks at the end of each week.",
        """
        with weeks as (
            select scope_gid, cast(date_trunc('week', day) as date) as week, arg_max(open_tasks, day) as open_tasks
            from asana_daily_metrics
            where scope = 'workspace'
                and day >= date_trunc('week', cast(getvariable('now') as date)) - interval 25 weeks
            group by all
        )
        select week, sum(open_tasks) from weeks group by week order by week
        """,
        ("week of", "open"),
        lambda rows, alt: charts.line([(day(week), count) for week, count in rows], alt),
    ),
    Figure(
        "How old is what is open?",
        "Open tasks by age.",
        """
        with ages(place, label, low, high) as (
            values (1, 'up to a week', 0, 7), (2, '1 to 4 weeks', 7, 28), (3, '1 to 3 months', 28, 91),
                (4, '3 to 12 months', 91, 365), (5, '1 to 2 years', 365, 730), (6, 'over 2 years', 730, 1000000)
        )
        select label, count(task_gid)
        from ages left join asana_tasks on not is_completed and age_days >= low and age_days < high
        group by place, label order by place
        """,
        ("age", "open"),
        lambda rows, alt: charts.bars([(label, [count]) for label, count in rows], alt),
    ),
    Figure(
        "Who has how much?",
        "Open tasks by assignee, the twelve who have most.",
        """
        select coalesce(name, user_gid), open_count - overdue_count, overdue_count
        from asana_users where open_count > 0 order by open_count desc, user_key limit 12
        """,
        ("assignee", "not due yet", "overdue"),
        lambda rows, alt: charts.bars([(name, counts) for name, *counts in rows], alt),
        ("not due yet", "overdue"),
    ),
    Figure(
        "How long does work take?",
        "Days from start to completion by project, of what was completed within a year: the bar is the middle half of "
        "the tasks, the mark in it the median. Tasks that were created as completed do not count.",
        """
        select coalesce(projects.name, projects.project_gid), count(*),
            quantile_cont(tasks.cycle_days, 0.25), median(tasks.cycle_days), quantile_cont(tasks.cycle_days, 0.75)
        from asana_tasks as tasks
        inner join asana_projects as projects on projects.project_gid = tasks.project_gid
        where tasks.completed_at > getvariable('now') - interval 365 days and tasks.cycle_days > 0
        group by projects.project_gid, projects.name order by count(*) desc, projects.project_gid limit 12
        """,
        ("project", "completed", "a quarter within", "half within", "three quarters within"),
        lambda rows, alt: charts.ranges([(name, *quartiles) for name, _, *quartiles in rows], alt),
    ),
    Figure(
        "How does work flow?",
        "Moves of tasks from section to section, the twelve most frequent.",
        """
        with moves as (
            select value as start, valid_to, days, project_gid,
                lead(value) over (partition by task_gid, project_gid order by valid_from) as goal
            from asana_task_history where field = 'section'
        )
        select start, goal, count(*), median(days)
        from moves where start is not null and goal is not null and start <> goal
        group by all order by count(*) desc, start, goal limit 12
        """,
        ("from", "to", "moves", "days before, median"),
        lambda rows, alt: charts.flow([(start, end, count) for start, end, count, _ in rows], alt),
    ),
    Figure(
        "What do the projects say?",
        "Newest status updates.",
        """
        select name, replace(status_type, '_', ' '), status_title, cast(status_at as date)
        from asana_projects where status_at is not null order by status_at desc, project_gid limit 8
        """,
        ("project", "status", "update", "of"),
    ),
    Figure(
        "What is late the longest?",
        "Tasks that are open and were due.",
        """
        select name, project_names, assignee_name, days_late
        from asana_tasks where is_overdue order by days_late desc, task_gid limit 8
        """,
        ("task", "project", "assignee", "days late"),
    ),
)

STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf8; --card: #fff; --ink: #1f1d1b; --soft: #6b6660; --rule: #e4e0da;
  --c1: #2f6f9f; --c2: #e08a3c; --ribbon: #2f6f9f44 }
@media (prefers-color-scheme: dark) { :root { --paper: #171615; --card: #211f1e; --ink: #ece8e3; --soft: #a29b93;
  --rule: #38342f; --c1: #6fb1e0; --c2: #f0a765; --ribbon: #6fb1e04d } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 66rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.45 system-ui, sans-serif }
h1 { margin: 0; font-size: 1.6rem } h2 { margin: 0; font-size: 1.05rem }
p { margin: .2rem 0 .8rem; color: var(--soft) }
ul { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .7rem; margin: 1rem 0; padding: 0;
  list-style: none }
li, figure { margin: 0; padding: .9rem 1rem;
  background: var(--card); border: 1px solid var(--rule); border-radius: .6rem }
li b { display: block; font-size: 1.7rem; line-height: 1.2; font-variant-numeric: tabular-nums }
li span { color: var(--soft); font-size: .85rem }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: .7rem }
figure { break-inside: avoid; min-width: 0 }
svg { display: block; width: 100%; max-width: 30rem; height: auto; font-size: 12.5px }
text { fill: var(--ink) } .end { text-anchor: end } .middle { text-anchor: middle } .small, .value { fill: var(--soft) }
.small { font-size: 11px } .c1 { fill: var(--c1) } .c2 { fill: var(--c2) } .grid { stroke: var(--rule) }
.line { fill: none; stroke: var(--c1); stroke-width: 2.5 } .ribbon { fill: var(--ribbon) }
.key { margin-right: .9rem } .key::before { content: ""; display: inline-block; width: .7em; height: .7em;
  margin-right: .35em; border-radius: 2px; background: var(--c1) } .key.k2::before { background: var(--c2) }
details { margin-top: .6rem } summary { color: var(--soft); font-size: .85rem; cursor: pointer }
.scroll { overflow-x: auto }
table { width: 100%; border-collapse: collapse; font-size: .87rem }
th, td { padding: .28rem .5rem .28rem 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top }
th { color: var(--soft); font-weight: 600 } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
td.d { white-space: nowrap }
@media print { details::details-content { content-visibility: visible; block-size: auto }
  :root { --paper: #fff; --card: #fff; --ink: #000; --soft: #444; --rule: #bbb; --c1: #2f6f9f; --c2: #e08a3c;
  --ribbon: #2f6f9f44 } body { padding: 0; font-size: .8rem } summary { display: none }
  figure { break-inside: auto } svg { max-width: none } svg, tr { break-inside: avoid } }
"""


def day(value: date) -> str:
    """Return a day for the axis of a chart."""
    return f"{value.day} {value:%b}"


def shown(value: Any) -> str:
    """Return a value for a table."""
    if value is None:
        return "-"
    if isinstance(value, date):
        return f"{value:%Y-%m-%d}"
    return value if isinstance(value, str) else charts.number(float(value))


def kind(values: list[Any]) -> str:
    """Return the CSS class of a column: numbers stand at the right, days are not broken."""
    classes = {int: "n", float: "n", date: "d"}
    found = next((classes[type(value)] for value in values if type(value) in classes), None)
    return f' class="{found}"' if found else ""


def table(columns: tuple[str, ...], rows: list[Row]) -> str:
    """Return a table."""
    kinds = [kind([row[place] for row in rows]) for place in range(len(columns))]
    head = "".join(f'<th scope="col"{each}>{escape(name)}</th>' for name, each in zip(columns, kinds, strict=True))
    body = "".join(
        "<tr>"
        + "".join(f"<td{each}>{escape(shown(value))}</td>" for value, each in zip(row, kinds, strict=True))
        + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def alternative(figure: Figure, rows: list[Row]) -> str:
    """Return the words that stand for a chart."""
    told = "; ".join(", ".join(shown(value) for value in row) for row in rows)
    return f"{figure.note} {', '.join(figure.columns)}: {told}."


def drawn(figure: Figure, rows: list[Row]) -> str:
    """Return a figure."""
    head = f"<h2>{escape(figure.title)}</h2><p>{escape(figure.note)}</p>"
    if not rows or not any(value for row in rows for value in row[1:]):
        return f"<figure>{head}<p><em>There is nothing to show.</em></p></figure>"
    if figure.draw is None:
        return f"<figure>{head}{table(figure.columns, rows)}</figure>"
    legend = "".join(f'<span class="key k{place}">{escape(name)}</span>' for place, name in enumerate(figure.legend, 1))
    chart = figure.draw(rows, alternative(figure, rows))
    details = f"<details><summary>As a table</summary>{table(figure.columns, rows)}</details>"
    return f"<figure>{head}{f'<p>{legend}</p>' if legend else ''}{chart}{details}</figure>"


def page(database: duckdb.DuckDBPyConnection) -> str:
    """Return the report."""
    names = database.execute(WORKSPACES).fetchall()
    database.execute(NOW)
    [(now,)] = database.execute("select getvariable('now')").fetchall()
    title = ", ".join(name for (name,) in names) or "Asana"
    told = f"As of {now:%Y-%m-%d %H:%M} UTC, when the last export began." if now else "There is no export yet."
    values = [(name, database.execute(query).fetchall()[0][0]) for name, query in NUMBERS.items()]
    tiles = "".join(f"<li><b>{escape(shown(value))}</b><span>{escape(name)}</span></li>" for name, value in values)
    figures = "".join(drawn(figure, rows_of(database, figure)) for figure in FIGURES)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}: what is open, late and done</title><style>{STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1><p>{escape(told)}</p><ul>{tiles}</ul><main>{figures}</main></body></html>\n"
    )


def rows_of(database: duckdb.DuckDBPyConnection, figure: Figure) -> list[Row]:
    """Return a figure's rows; DuckDB's sums are integers of 128 bits."""
    return [
        tuple(int(value) if type(value).__name__ == "Decimal" else value for value in row)
        for row in database.execute(figure.query).fetchall()
    ]


def main(models: str, path: str, results: str | None = None) -> None:
    """Write the report.

    Args:
        models: the database with dbt's models.
        path: where to.
        results: dbt's `run_results.json`, to say what was built and tested.
    """
    if results:
        kinds = Counter(each["unique_id"].split(".")[0] for each in json.loads(Path(results).read_text())["results"])
        print(f"dbt built {kinds['model']} models, and {kinds['test']} tests passed.")
    with duckdb.connect(models, read_only=True) as database:
        html = page(database)
    Path(path).write_text(html, encoding="utf-8")
    print(f"The report is in {path}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
