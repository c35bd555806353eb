"""Shares of wins with intervals, and Bradley-Terry scores.

Votes are arrays of wins, (P, C, C): how often participant p preferred class a to class b. All
intervals are of 95 %.
"""

import dataclasses

import numpy as np
from scipy import stats

LEVEL = 0.975  # quantile of a two-sided 95 % interval
PRIOR = 0.5  # votes each way and pair, so that a class that always wins has a finite score
RESAMPLES = 1000

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Share:
    """How often something was chosen, of how many times it could be."""

    wins: int
    total: int
    wilson: Interval  # as if every vote were a participant of its own
    clustered: Interval | None  # participants differ; None with fewer than two

    @property
    def value(self) -> float:
        """The share, in [0, 1]."""
        return self.wins / self.total


def wilson(share: float, votes: float, quantile: float = float(stats.norm.ppf(LEVEL))) -> Interval:
    """Wilson's interval of a share.

    Args:
      share: in [0, 1].
      votes: that the share is of.
      quantile: of the normal distribution, or of one with wider tails.
    """
    z = quantile**2 / votes
    middle = (share + z / 2) / (1 + z)
    half = np.sqrt(z * (share * (1 - share) + z / 4)) / (1 + z)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def share(wins: np.ndarray, totals: np.ndarray) -> Share | None:
    """The share of wins, with both intervals; None where there are no votes.

    The clustered interval is Wilson's with as many votes as would, independent of each other, give
    the variance that is found between participants, and Student's quantile; it is never narrower
    than that of independent votes. Where all votes agree no variance can be found; then
    participants count, not votes.

    Args:
      wins: (P,) of each participant.
      totals: (P,) votes of each participant.
    """
    took_part = totals > 0
    wins, totals = wins[took_part], totals[took_part]
    n, people = int(totals.sum()), len(totals)
    if not n:
        return None
    p = wins.sum() / n
    independent, clustered = wilson(p, n), None
    if people > 1:
        variance = people / (people - 1) * np.square(wins - p * totals).sum() / n**2
        effective = p * (1 - p) / variance if variance else float(people)
        student = wilson(p, effective, float(stats.t.ppf(LEVEL, people - 1)))
        clustered = min(independent[0], student[0]), max(independent[1], student[1])
    return Share(int(wins.sum()), n, independent, clustered)


def bradley_terry(wins: np.ndarray) -> np.ndarray:
    """Scores of classes, as natural logarithms with mean 0.

    A class is preferred to another with odds exp(score - other score). Maximum likelihood by
    Hunter's MM iteration, with half a vote more each way in every pair.

    Args:
      wins: (..., C, C), of row over column.

    Returns:
      (..., C).
    """
    classes = wins.shape[-1]
    wins = (wins + PRIOR) * (1 - np.eye(classes))
    played, won = wins + np.swapaxes(wins, -1, -2), wins.sum(-1)
    scores = np.zeros(won.shape)
    for _ in range(10_000):
        strengths = np.exp(scores)
        sums = strengths[..., :, None] + strengths[..., None, :]
        updated = np.log(won / (played / sums).sum(-1))
        updated -= updated.mean(-1, keepdims=True)
        change, scores = np.abs(updated - scores).max(), updated
        if change < 1e-10:
            break
    return scores


def bradley_terry_intervals(wins: np.ndarray) -> np.ndarray | None:
    """Percentile intervals of the scores, (2, C), from resampled participants; None of one.

    Args:
      wins: (P, C, C).
    """
    people = len(wins)
    if people < 2:
        return None
    counts = np.random.default_rng(0).multinomial(people, np.full(people, 1 / people), RESAMPLES)
    resampled = np.einsum("rp,pij->rij", counts, wins)
    return np.quantile(bradley_terry(resampled), [1 - LEVEL, LEVEL], axis=0)
