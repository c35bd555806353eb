"""What participants preferred, and how each of them answered, from the votes of a study.

Questions asked again count for consistency only.
"""

import dataclasses
import statistics as python_statistics
from typing import Any

import numpy as np

from dped_jax.study import statistics
from dped_jax.study.definition import pairs
from dped_jax.study.statistics import Share

Vote = dict[str, Any]  # a row of store.votes


@dataclasses.dataclass(frozen=True)
class GroupResult:
    """What participants preferred in one group."""

    name: str
    classes: list[str]
    pairs: dict[tuple[str, str], Share | None]  # of the first class against the second
    aggregated: dict[str, Share | None]  # of a class among all answers
    scores: np.ndarray  # (C,), Bradley-Terry
    score_intervals: np.ndarray | None  # (2, C)

    def named_shares(self) -> list[tuple[str, Share]]:
        """The shares of pairs and of all answers, with what they are in words, where votes are."""
        named = {f"{a} over {b}": share for (a, b), share in self.pairs.items()}
        named |= {f"{name}, of all answers": share for name, share in self.aggregated.items()}
        return [(name, share) for name, share in named.items() if share]


@dataclasses.dataclass(frozen=True)
class ParticipantResult:
    """How one participant answered."""

    number: int
    answered: int
    median_seconds: float
    left: float  # share of left pictures chosen
    repeated: int  # questions answered a second time
    consistent: int  # of these, how many as before
    fast: bool


def participant_results(votes: list[Vote], min_median_seconds: float) -> list[ParticipantResult]:
    """How each participant answered, by number."""
    by_number: dict[int, list[Vote]] = {}
    for vote in votes:
        by_number.setdefault(vote["participant"], []).append(vote)
    results = []
    for number, own in sorted(by_number.items()):
        first = {_asked(vote): vote["chosen"] for vote in own if not vote["repeated"]}
        again = [vote["chosen"] == first[_asked(vote)] for vote in own if vote["repeated"]]
        median = python_statistics.median(vote["milliseconds"] for vote in own) / 1000
        left = sum(vote["chosen"] == vote["left"] for vote in own) / len(own)
        fast = median < min_median_seconds
        results.append(
            ParticipantResult(number, len(own), median, left, len(again), sum(again), fast)
        )
    return results


def _asked(vote: Vote) -> tuple:
    return vote["group"], vote["picture"], *sorted((vote["left"], vote["right"]))


def group_result(name: str, classes: list[str], votes: list[Vote]) -> GroupResult:
    """Shares and scores of a group."""
    own = [vote for vote in votes if vote["group"] == name and not vote["repeated"]]
    people = {number: i for i, number in enumerate(sorted({v["participant"] for v in own}))}
    index = {name: i for i, name in enumerate(classes)}
    wins = np.zeros((len(people), len(classes), len(classes)))
    for vote in own:
        loser = vote["left"] if vote["chosen"] == vote["right"] else vote["right"]
        wins[people[vote["participant"]], index[vote["chosen"]], index[loser]] += 1
    shares = {
        (a, b): statistics.share(wins[:, i, j], wins[:, i, j] + wins[:, j, i])
        for (a, b), (i, j) in zip(pairs(classes), pairs(range(len(classes))), strict=True)
    }
    aggregated = {
        a: statistics.share(wins[:, i].sum(-1), wins.sum((1, 2))) for a, i in index.items()
    }
    scores = statistics.bradley_terry(wins.sum(0))
    intervals = statistics.bradley_terry_intervals(wins)
    return GroupResult(name, classes, shares, aggregated, scores, intervals)
