"""Reports a study: Figure 10 of the paper, with intervals and scores.

    python -m dped_jax.study report --database=votes.sqlite --output=results

Writes figure10.png, shares.csv, scores.csv, participants.csv and report.html.
"""

import dataclasses
import itertools
import pathlib
from typing import Any

from absl import flags
from matplotlib.figure import Figure

from dped_jax.base import command
from dped_jax.base.errors import InputError
from dped_jax.base.files import write_atomically
from dped_jax.pages import charts, outputs, web_page
from dped_jax.study import store
from dped_jax.study.definition import order
from dped_jax.study.results import (
    GroupResult,
    ParticipantResult,
    Vote,
    group_result,
    participant_results,
)
from dped_jax.study.statistics import wilson


def draw(results: list[GroupResult]) -> Figure:
    """Figure 10: a bar for every pair, and the aggregated shares as the last bar."""
    columns = min(2, len(results))
    rows = -(-len(results) // columns)
    with charts.style():
        figure = Figure(figsize=(6.5 * columns, 3.8 * rows), dpi=110, layout="constrained")
        for place, result in enumerate(results, 1):
            _draw_group(figure.add_subplot(rows, columns, place), result)
    return figure


def _draw_group(axes: Any, result: GroupResult) -> None:
    """One subfigure: pairs with their intervals as whiskers, then the aggregated shares."""
    colours = dict(zip(result.classes, itertools.cycle(charts.COLOURS), strict=False))
    pairs = [(pair, share) for pair, share in result.pairs.items() if share]
    for place, ((a, b), share) in enumerate(pairs):
        values = ((a, share.value), (b, 1 - share.value))
        parts = [(name, value, f"{value:.0%}") for name, value in values]
        _draw_bar(axes, place, parts, colours)
        low, high = share.clustered or share.wilson
        for color, width in (("white", 4), ("black", 2)):
            axes.vlines(place + 0.33, low, high, color=color, linewidth=width)
    aggregated = []
    for name, total in result.aggregated.items():
        if total:
            low, high = total.clustered or total.wilson
            label = f"{total.value:.0%} ({low:.0%} to {high:.0%})"
            aggregated.append((name, total.value, label))
    _draw_bar(axes, len(pairs), aggregated, colours)
    labels = [*(f"{a}\nvs {b}" for (a, b), _ in pairs), "all answers"]
    axes.set_xticks(range(len(labels)), labels)
    axes.tick_params(axis="x", labelsize=8)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set(title=result.name, ylim=(0, 1))


def _draw_bar(
    axes: Any, place: int, parts: list[tuple[str, float, str]], colours: dict[str, str]
) -> None:
    """Parts are class, share and label."""
    bottom = 0.0
    for name, share, label in parts:
        axes.bar(place, share, 0.8, bottom, color=colours[name], edgecolor="white")
        if share > 0.12:  # both lines fit
            style = {"ha": "center", "va": "center", "color": "white", "fontsize": 8}
            axes.text(place, bottom + share / 2, f"{name}\n{label}", **style)
        bottom += share


def _write_tables(
    folder: pathlib.Path, results: list[GroupResult], people: list[ParticipantResult]
) -> None:
    """Writes the CSV files."""
    outputs.write_csv(
        folder / "shares.csv",
        ["group", "share", "of", "value", "wins", "votes", "wilson_low", "wilson_high",
         "clustered_low", "clustered_high"],
        [
            [result.name, a, b, share.value, share.wins, share.total, *share.wilson,
             *(share.clustered or ("", ""))]
            for result in results
            for (a, b), share in [
                *result.pairs.items(),
                *(((name, "all"), share) for name, share in result.aggregated.items()),
            ]
            if share
        ],
    )  # fmt: skip
    outputs.write_csv(
        folder / "scores.csv",
        ["group", "class", "score", "low", "high"],
        [
            [r.name, name, r.scores[i], *("" if (v := r.score_intervals) is None else v[:, i])]
            for r in results
            for i, name in enumerate(r.classes)
        ],
    )
    outputs.write_csv(
        folder / "participants.csv",
        [field.name for field in dataclasses.fields(ParticipantResult)],
        map(dataclasses.astuple, people),
    )


def report(
    folder: pathlib.Path,
    definition: dict[str, Any],
    settings: dict[str, Any],
    votes: list[Vote],
    without_fast: bool = False,
) -> list[GroupResult]:
    """Writes the report of a study into a folder.

    Args:
      folder: is made where missing.
      definition: of study.define.
      settings: of store.SETTINGS.
      votes: of store.votes.
      without_fast: whether fast participants count for nothing but their own table.

    Raises:
      InputError: there are no votes.
    """
    people = participant_results(votes, settings["min_median_seconds"])
    if without_fast:
        fast = {person.number for person in people if person.fast}
        votes = [vote for vote in votes if vote["participant"] not in fast]
    if not votes:
        raise InputError("--database: no votes to report yet")
    results = [
        group_result(group["name"], group["classes"], votes) for group in definition["groups"]
    ]
    figure = draw(results)
    page = web_page.render(
        "study",
        settings["title"],
        figure=figure,
        groups=results,
        people=people,
        total=len(order(definition, seed=0)),
        repeated=sum(person.repeated for person in people),
        consistent=sum(person.consistent for person in people),
        wilson=wilson,
    )
    folder.mkdir(parents=True, exist_ok=True)
    _write_tables(folder, results, people)
    outputs.write_chart(folder / "figure10.png", figure)
    write_atomically(folder / "report.html", page)
    return results


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    with store.opened(FLAGS.database) as database:
        _, definition, settings = database.study()
        votes = database.votes()
    folder = pathlib.Path(FLAGS.output)
    for result in report(folder, definition, settings, votes, FLAGS.without_fast):
        for name, share in result.named_shares():
            interval = "{:.1%} to {:.1%}".format(*share.clustered) if share.clustered else "-"
            print(f"{result.name}: {name}: {share.value:.1%} ({interval})")
    print(f"report in {folder / 'report.html'}")


FLAGS = flags.FLAGS

if __name__ == "__main__":
    flags.DEFINE_string(
        "database", None, "SQLite file, or postgresql://USER@HOST/NAME.", required=True
    )
    flags.DEFINE_string("output", None, "Folder for the report.", required=True)
    flags.DEFINE_bool("without_fast", False, "Leave answers of fast participants out.")
    command.run(main)
