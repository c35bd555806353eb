"""Reports a study: Figure 10 of the paper, with intervals and scores.

    python -m dped_jax.study report --database=votes.sqlite --output=results

Writes figure10.png, shares.csv, scores.csv, participants.csv and report.html.
"""

import dataclasses
import io
import pathlib
from typing import Any

import cv2
import matplotlib
import matplotlib.figure
import numpy as np
from absl import flags

from dped_jax.base import command
from dped_jax.base.errors import InputError
from dped_jax.base.files import write_atomically
from dped_jax.pages import outputs, web_page
from dped_jax.study import store
from dped_jax.study.definition import order
from dped_jax.study.results import (
    GroupResult,
    ParticipantResult,
    Vote,
    group_result,
    participant_results,
)
from dped_jax.study.statistics import Share, wilson


def draw(results: list[GroupResult]) -> bytes:
    """Figure 10 as PNG: a bar for every pair, and the aggregated shares as the last bar."""
    columns = min(2, len(results))
    rows = -(-len(results) // columns)
    size = (6.5 * columns, 3.8 * rows)
    content = io.BytesIO()
    with matplotlib.rc_context({"text.parse_math": False}):  # a name may have a $
        figure = matplotlib.figure.Figure(figsize=size, dpi=110, layout="constrained")
        for place, result in enumerate(results, 1):
            _draw_group(figure.add_subplot(rows, columns, place), result)
        figure.savefig(content, format="png")
    return content.getvalue()


def _draw_group(axes: Any, result: GroupResult) -> None:
    """One subfigure: pairs with their intervals as whiskers, then the aggregated shares."""
    colours = {
        name: web_page.COLOURS[i % len(web_page.COLOURS)] for i, name in enumerate(result.classes)
    }
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


def _percent(interval: tuple[float, float] | None) -> str:
    return f"{interval[0]:.1%} to {interval[1]:.1%}" if interval else "-"


def _share_rows(result: GroupResult) -> list[tuple[str, Share]]:
    named = {f"{a} over {b}": share for (a, b), share in result.pairs.items()}
    named |= {f"{name}, of all answers": share for name, share in result.aggregated.items()}
    return [(name, share) for name, share in named.items() if share]


def _tables(result: GroupResult) -> str:
    """The tables of a group as HTML."""
    header = ["", "Share", "Wilson, 95 %", "By participant, 95 %", "Votes"]
    shares = [
        (
            name,
            f"{s.value:.1%}",
            _percent(s.wilson),
            _percent(s.clustered),
            f"{s.wins} of {s.total}",
        )
        for name, s in _share_rows(result)
    ]
    intervals = result.score_intervals
    scores = [
        (
            name,
            f"{result.scores[i]:+.2f}",
            "-" if intervals is None else f"{intervals[0, i]:+.2f} to {intervals[1, i]:+.2f}",
        )
        for i, name in enumerate(result.classes)
    ]
    return web_page.table(f"{result.name}: how often a class was chosen", header, shares) + (
        web_page.table(
            f"{result.name}: Bradley-Terry scores (a is preferred to b with odds exp(a - b))",
            ["", "Score", "95 %"],
            scores,
        )
    )


def _page(
    title: str, total: int, results: list[GroupResult], people: list[ParticipantResult], png: bytes
) -> str:
    """The report as HTML."""
    complete = sum(person.answered == total for person in people)
    fast = [person.number for person in people if person.fast]
    repeated, consistent = (sum(getattr(p, n) for p in people) for n in ("repeated", "consistent"))
    facts = [
        ("Participants", str(len(people))),
        ("answered all questions", f"{complete} (of {total} questions)"),
        ("Votes", str(sum(person.answered for person in people))),
        ("Faster than the study's limit", ", ".join(map(str, fast)) or "none"),
        ("Same answer when asked again", "not asked again"),
    ]
    if repeated:
        interval = _percent(wilson(consistent / repeated, repeated))
        facts[-1] = (facts[-1][0], f"{consistent} of {repeated} (share: {interval})")
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB)
    alt = "; ".join(
        f"{result.name}: " + ", ".join(f"{name} {s.value:.0%}" for name, s in _share_rows(result))
        for result in results
    )
    rows = [
        (
            f"{p.number}{', fast' if p.fast else ''}",
            str(p.answered),
            f"{p.median_seconds:.1f} s",
            f"{p.left:.0%}",
            f"{p.consistent} of {p.repeated}" if p.repeated else "-",
        )
        for p in people
    ]
    sections = {
        "Overview": web_page.table("The study", ["", ""], facts),
        "Figure 10": web_page.picture(FIGURE_CAPTION, alt, image),
        **{result.name: _tables(result) for result in results},
        "Participants": web_page.table("How each participant answered", PEOPLE, rows),
        "How this was computed": METHOD,
    }
    return web_page.page(title, "", sections)


FIGURE_CAPTION = (
    "The share of answers for each class, for every pair, and of all answers of a group as the last"
    " bar. Whiskers are 95 % intervals by participant."
)
PEOPLE = ["Participant", "Answers", "Median time", "Left chosen", "Same when asked again"]
METHOD = """<p>A share is the number of answers for a class, divided by all answers to the
questions where it was shown beside the other class, or by all answers of the group. Questions asked
again do not count here. Wilson's interval takes answers as independent of each other; the interval
by participant does not: it uses as many answers as would, independent, vary as much as participants
do, and Student's quantile. Bradley-Terry scores have half an answer more each way in every pair, so
that they are finite; their intervals are percentiles of 1000 studies with resampled participants. A
participant is called fast where the median time of an answer is below min_median_seconds of the
study file.</p>
"""


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
    png = draw(results)
    total = len(order(definition, seed=0))
    folder.mkdir(parents=True, exist_ok=True)
    _write_tables(folder, results, people)
    write_atomically(folder / "figure10.png", png)
    page = _page(settings["title"], total, results, people, png)
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
        for name, share in _share_rows(result):
            print(f"{result.name}: {name}: {share.value:.1%} ({_percent(share.clustered)})")
    print(f"report in {folder / 'report.html'}")


FLAGS = flags.FLAGS

if __name__ == "__main__":
    flags.DEFINE_string(
        "database", None, "SQLite file, or postgresql://USER@HOST/NAME.", required=True
    )
    flags.DEFINE_string("output", None, "Folder for the report.", required=True)
    flags.DEFINE_bool("without_fast", False, "Leave answers of fast participants out.")
    command.run(main)
