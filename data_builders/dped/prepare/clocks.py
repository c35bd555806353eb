"""Two cameras' clocks, reconciled by photos of the same scene. Reads and writes no files.

Times are seconds, each by its camera's own clock.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

ANCHORS = 12  # phone photos, evenly spread, that a partner is looked for by what they show
CHECKED = 60  # DSLR photos that each is compared with, the likeliest first
JITTER = 5.0  # seconds by which differences of one offset may differ, for a first guess
DISAGREEMENT = 15.0  # seconds from the fitted clock at which a match counts as a wrong one
MAX_DRIFT = 1e-3  # 86 seconds a day
MOST_DIFFERENCES = 4_000_000


class ClockError(ValueError):
    """Two clocks that cannot be reconciled. The message says why, in a few words."""


@dataclasses.dataclass(frozen=True)
class Clock:
    """How the DSLR's clock follows from the phone's.

    Attributes:
      offset: the DSLR's minus the phone's at `start`, seconds.
      drift: seconds that it gains for each second of the phone's.
      start: a time by the phone's clock.
    """

    offset: float
    drift: float
    start: float

    def dslr_time(self, phone_time: Any) -> Any:
        """What the DSLR's clock shows at a time of the phone's."""
        return phone_time + self.offset + self.drift * (phone_time - self.start)


def find_clock(
    phone_times: Sequence[float],
    dslr_times: Sequence[float],
    same_scene: Callable[[int, int], bool],
) -> Clock:
    """Finds offset and drift of two clocks.

    A difference of times that many pairs of photos have is likely to be the offset. In that order,
    a few phone photos are compared with DSLR photos until one shows the same; a line through these
    matches, robust against wrong ones, is the clock (Theil and Sen's).

    Args:
      phone_times: of the phone's photos.
      dslr_times: of the DSLR camera's.
      same_scene: whether the phone photo and the DSLR photo of these indices show the same.

    Returns:
      The clock.

    Raises:
      ClockError: no photos show the same, or those that do contradict each other.
    """
    phone, dslr = np.asarray(phone_times, float), np.asarray(dslr_times, float)
    order = np.argsort(phone, kind="stable")
    sample = order[:: -(-len(order) * len(dslr) // MOST_DIFFERENCES)]
    differences = np.sort((dslr - phone[sample, None]).ravel())
    anchors = order[np.unique(np.linspace(0, len(order) - 1, ANCHORS).round().astype(int))]
    matches = []
    for anchor in anchors:
        offsets = dslr - phone[anchor]
        ends = [np.searchsorted(differences, offsets + reach) for reach in (-JITTER, JITTER)]
        likeliest = np.argsort(ends[0] - ends[1], kind="stable")[:CHECKED]
        found = next((j for j in likeliest if same_scene(int(anchor), int(j))), None)
        if found is not None:
            matches.append((phone[anchor], dslr[found]))
    if not matches:
        raise ClockError(f"none of {len(anchors)} phone photos shows what a DSLR photo shows")
    return _fit(np.array(matches))


def _fit(matches: np.ndarray) -> Clock:
    """The clock that (n, 2) times of matching photos agree on."""
    times, offsets = matches[:, 0], matches[:, 1] - matches[:, 0]
    start = float(times[0])
    i, j = np.triu_indices(len(times), 1)
    apart = times[j] - times[i]
    far = apart > np.ptp(times) / 4  # of near ones the jitter would be divided by little
    slopes = (offsets[j] - offsets[i])[far] / apart[far]
    slopes = slopes[np.abs(slopes) <= MAX_DRIFT]
    clocks = [Clock(float(np.median(offsets)), 0.0, start)]
    if len(slopes):
        drift = float(np.median(slopes))
        clocks.append(Clock(float(np.median(offsets - drift * (times - start))), drift, start))
    errors = [np.abs(matches[:, 1] - clock.dslr_time(times)) for clock in clocks]
    best = int(np.argmin([np.sum(np.minimum(error, DISAGREEMENT)) for error in errors]))
    agree = int(np.count_nonzero(errors[best] <= DISAGREEMENT))
    if 3 * agree < 2 * len(matches):
        raise ClockError(
            f"photos of the same scene are from {min(offsets):.0f} to {max(offsets):.0f} seconds"
            " apart by their clocks, as if one was set in between"
        )
    return clocks[best]
