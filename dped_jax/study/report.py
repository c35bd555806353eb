"""Reports a study: Figure 10 of the paper, with intervals and scores.

    python -m dped_jax.study report --database=votes.sqlite --output=results

Writes figure10.png, shares.csv, scores.csv, participants.csv and report.html.
"""

import dataclasses
import itertools
import pathlib
from typing import Any

import matplotlib
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


@matplotlib.rc_context(charts.PLAIN_TEXT)
def draw(results: list[GroupResult]) -> Figure:
    """Figure 10: a bar for every pair, and the aggregated shares as the last bar."""
    columns = min(2, len(results))
    rows = -(-len(results) // columns)
    figure = Figure(figsize=(6.5 * columns, 3.8 * rows), dpi=110, layout="constrained")
    for place, result in enumerate(results, 1):
        _draw_group(figure.add_subplot(rows, columns, place), result)
    return figure


def _draw_group(axes: Any, result: GroupResult) -> None:
    """One subfigure: pairs with their intervals as whiskers, then the aggregated shares."""
    pairs = [(pair, share) for pair, share in result.pairs.items() if share]
    bars = [
        {a: (s.value, f"{s.value:.0%}"), b: (1 - s.value, f"{1 - s.value:.0%}")}
        for (a, b), s in pairs
    ]
    for place, (_, share) in enumerate(pairs):
        for color, width in (("white", 4), ("black", 2)):
            interval = share.clustered or share.wilson
            axes.vlines(place + 0.33, *interval, color=color, linewidth=width, zorder=3)
    bars.append({})
    for name, total in result.aggregated.items():
        if total:
            low, high = total.clustered or total.wilson
            bars[-1][name] = total.value, f"{total.value:.0%} ({low:.0%} to {high:.0%})"
    bottoms = [0.0] * len(bars)
    for name, color in zip(result.classes, itertools.cycle(charts.COLOURS), strict=False):
        shares, labels = zip(*(bar.get(name, (0.0, "")) for bar in bars), strict=True)
        style = {"color": color, "edgecolor": "white", "width": 0.8}
        drawn = axes.bar(range(len(bars)), shares, bottom=bottoms, **style)
        texts = [  # where both lines fit
            f"{name}\n{label}" if share > 0.12 else ""
            for share, label in zip(shares, labels, strict=True)
        ]
        axes.bar_label(drawn, texts, label_type="center", color="white", fontsize=8)
        bottoms = [bottom + share for bottom, share in zip(bottoms, shares, strict=True)]
    ticks = [*(f"{a}\nvs {b}" for (a, b), _ in pairs), "all answers"]
    axes.set_xticks(range(len(ticks)), ticks)
    axes.tick_params(axis="x", labelsize=8)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set(title=result.name, ylim=(0, 1))


def _write_tables(
    folder: pathlib.Path, results: list[GroupResult], people: list[ParticipantResult]
) -> None:
    """Writes the CSV files."""
    shares, scores = [], []
    for result in results:
        aggregated = {(name, "all"): share for name, share in result.aggregated.items()}
        for (name, other), share in (result.pairs | aggregated).items():
            if share:
                low, high = share.clustered or ("", "")
                row = {"group": result.name, "share": name, "of": other, "value": share.value}
                row |= {"wins": share.wins, "votes": share.total}
                row |= {"wilson_low": share.wilson[0], "wilson_high": share.wilson[1]}
                shares.append(row | {"clustered_low": low, "clustered_high": high})
        for i, name in enumerate(result.classes):
            row = {"group": result.name, "class": name, "score": result.scores[i]}
            low, high = ("", "") if result.score_intervals is None else result.score_intervals[:, i]
            scores.append(row | {"low": low, "high": high})
    participants = list(map(dataclasses.asdict, people))
    tables = {"shares": shares, "scores": scores, "participants": participants}
    for name, rows in tables.items():
        outputs.write_csv(folder / f"{name}.csv", list(rows[0]), rows)


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
