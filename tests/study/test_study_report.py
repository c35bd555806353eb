"""The report: known answers, intervals that cover what they claim, and its files."""

import csv

import browser as chromium
import cv2
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from simulated_votes import definition, simulate

from dped_jax.base.errors import InputError
from dped_jax.pages import charts
from dped_jax.study import report, results, statistics

SETTINGS = {"title": "Which <b>one</b>?", "min_median_seconds": 1.0}


def vote(participant, chosen, other, picture="0", group="Group 0", **keys) -> dict:
    left, right = sorted((chosen, other))
    fields = {"participant": participant, "group": group, "picture": picture, "left": left}
    fields |= {"right": right, "chosen": chosen, "repeated": False, "milliseconds": 2000}
    return fields | keys


def test_shares_by_hand():
    votes = [vote(1, "a", "b"), vote(1, "a", "c"), vote(1, "c", "b"), vote(2, "b", "a")]
    votes += [vote(2, "a", "c"), vote(2, "c", "b"), vote(2, "a", "b", repeated=True)]
    votes += [vote(1, "c", "a", group="Group 1")]
    result = results.group_result("Group 0", ["a", "b", "c"], votes)
    shares = {pair: (share.wins, share.total) for pair, share in result.pairs.items()}
    assert shares == {("a", "b"): (1, 2), ("a", "c"): (2, 2), ("b", "c"): (0, 2)}
    aggregated = {name: (share.wins, share.total) for name, share in result.aggregated.items()}
    assert aggregated == {"a": (3, 6), "b": (1, 6), "c": (2, 6)}


@pytest.mark.parametrize(("wins", "total"), [(0, 10), (7, 10), (10, 10), (265, 378), (1, 1)])
def test_wilson_is_scipys(wins, total):
    expected = scipy.stats.binomtest(wins, total).proportion_ci(0.95, "wilson")
    np.testing.assert_allclose(statistics.wilson(wins / total, total), expected, atol=1e-12)


def test_clustered_interval_counts_participants():
    rng = np.random.default_rng(0)
    answers = rng.random(42) < 0.7  # everybody gives the same answer 9 times
    share = statistics.share(9 * answers, np.full(42, 9))
    alone = statistics.share(answers.astype(int), np.ones(42, int))
    np.testing.assert_allclose(share.clustered, alone.clustered, atol=2e-3)
    width = share.wilson[1] - share.wilson[0]
    assert share.clustered[1] - share.clustered[0] > 2.9 * width  # 3 times, and Student's tails
    agreed = statistics.share(np.full(10, 9), np.full(10, 9))
    assert agreed.clustered[0] < agreed.wilson[0]
    assert agreed.clustered[1] == 1
    assert statistics.share(np.array([5]), np.array([9])).clustered is None
    assert statistics.share(np.array([]), np.array([])) is None


def coverage(prefer_of_study, studies: int = 200) -> tuple[float, float]:
    """How often the intervals cover 0.7, of 200 studies of 42 people, 9 pictures."""
    study, covered = definition(), []
    for seed in range(studies):
        rng = np.random.default_rng(seed)
        votes = simulate(study, rng, 42, prefer_of_study(rng))
        share = results.group_result("Group 0", ["a", "b", "c"], votes).pairs["a", "b"]
        assert share.total == 42 * 9
        covered.append([low <= 0.7 <= high for low, high in (share.wilson, share.clustered)])
    return tuple(np.mean(covered, axis=0))


def test_intervals_cover_the_truth(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 2)  # of the scores, which are not looked at
    wilson, clustered = coverage(lambda rng: lambda number, a, b: 0.7)
    # 95 % of 200 is 190 with a standard deviation of 3.
    assert 0.91 <= wilson <= 0.985
    assert 0.91 <= clustered <= 0.99  # wider where participants do not differ

    def different_people(rng):
        own = rng.beta(2.1, 0.9, 43)  # mean 0.7
        return lambda number, a, b: own[number]

    wilson, clustered = coverage(different_people)
    assert wilson < 0.85  # what the paper's kind of counting claims is not so
    assert 0.91 <= clustered <= 0.985


def test_bradley_terry_is_the_maximum_of_its_likelihood():
    wins = np.array([[0, 30, 12], [10, 0, 5], [28, 35, 0]])

    def loss(free):
        scores = np.array([*free, -sum(free)])
        margin = scores[:, None] - scores[None, :]
        return ((wins + 0.5) * np.log1p(np.exp(-margin)) * (1 - np.eye(3))).sum()

    best = scipy.optimize.minimize(loss, [0, 0], tol=1e-12).x
    scores = statistics.bradley_terry(wins)
    np.testing.assert_allclose(scores, [*best, -best.sum()], atol=1e-5)


def test_bradley_terry_finds_known_scores_and_stays_finite():
    truth = np.array([1.0, 0.0, -1.0])
    probability = 1 / (1 + np.exp(-(truth[:, None] - truth[None, :])))
    np.testing.assert_allclose(statistics.bradley_terry(1e6 * probability), truth, atol=1e-4)
    always = np.array([[0, 100, 100], [0, 0, 100], [0, 0, 0]])
    scores = statistics.bradley_terry(always)
    assert np.isfinite(scores).all()
    assert (np.diff(scores) < -3).all()
    people = np.random.default_rng(0).binomial(9, probability, (42, 3, 3)) * (1 - np.eye(3))
    low, high = statistics.bradley_terry_intervals(people)
    assert ((low < truth) & (truth < high)).all()
    assert statistics.bradley_terry_intervals(people[:1]) is None


def test_participants_by_hand():
    fast = {"milliseconds": 300}
    votes = [vote(1, "a", "b"), vote(1, "b", "c"), vote(1, "a", "b", repeated=True)]
    votes += [vote(1, "c", "b", repeated=True, milliseconds=9000), vote(1, "a", "b", picture="1")]
    votes += [vote(2, "a", "b", **fast), vote(2, "b", "c", **fast), vote(2, "c", "a")]
    one, two = results.participant_results(votes, 1.0)
    assert (one.answered, one.repeated, one.consistent, one.fast) == (5, 2, 1, False)
    assert one.left == 0.8
    assert one.median_seconds == 2.0
    assert (two.number, two.answered, two.repeated, two.fast) == (2, 3, 0, True)
    assert two.median_seconds == 0.3


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The report of a study of the paper's size; participant 3 is fast."""
    study = definition(4, repeats=6, classes=("original", "DSLR", "enhanced"))
    preferred = {"DSLR": 0.5, "enhanced": 0.5, "original": -1.5}

    def prefer(number, a, b):
        return 1 / (1 + np.exp(preferred[b] - preferred[a]))

    votes = simulate(study, np.random.default_rng(1), 42, prefer)
    votes = [v | {"milliseconds": 400} if v["participant"] == 3 else v for v in votes]
    folder = tmp_path_factory.mktemp("report") / "new"
    return folder, report.report(folder, study, SETTINGS, votes), votes


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_files_hold_the_shares(written):
    folder, _, votes = written
    shares = rows_of(folder / "shares.csv")
    assert len(shares) == 4 * (3 + 3)
    for row in shares:
        own = [v for v in votes if v["group"] == row["group"] and not v["repeated"]]
        if row["of"] != "all":
            own = [v for v in own if {v["left"], v["right"]} == {row["share"], row["of"]}]
        wins = sum(v["chosen"] == row["share"] for v in own)
        assert (int(row["wins"]), int(row["votes"])) == (wins, len(own))
        assert float(row["value"]) == pytest.approx(wins / len(own))
        assert float(row["clustered_low"]) < float(row["value"]) < float(row["clustered_high"])
    scores = rows_of(folder / "scores.csv")
    assert len(scores) == 12
    assert all(float(s["low"]) < float(s["score"]) < float(s["high"]) for s in scores)
    people = rows_of(folder / "participants.csv")
    assert [int(p["number"]) for p in people if p["fast"] == "True"] == [3]
    assert {p["answered"] for p in people} == {"114"}
    assert {p["repeated"] for p in people} == {"6"}


def test_figure_has_bars_of_the_shares(written):
    _, (group, *_), _ = written
    png = charts.encode(report.draw([group]))
    figure = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB)
    colours = np.array([[0x1F, 0x4E, 0x9C], [0xA8, 0x3A, 0], [0x1B, 0x6B, 0x34]])
    is_class = np.abs(figure[..., None, :].astype(int) - colours).sum(-1) < 12  # (H, W, 3)
    filled = np.flatnonzero(is_class.any(-1).sum(0) > 100)
    starts = filled[np.flatnonzero(np.diff(filled, prepend=-9) > 9)]  # left ends of bars
    drawn = [is_class[:, x + 3].mean(0) for x in starts]
    original, dslr, enhanced = group.classes
    shares = group.pairs
    first, second, third = (
        shares[pair].value for pair in ((original, dslr), (original, enhanced), (dslr, enhanced))
    )
    expected = [[first, 1 - first, 0], [second, 0, 1 - second], [0, third, 1 - third]]
    expected.append([group.aggregated[name].value for name in group.classes])
    assert len(drawn) == 4
    for bar, parts in zip(drawn, expected, strict=True):
        np.testing.assert_allclose(bar / bar.sum(), parts, atol=0.01)


def test_page_is_complete_and_escaped(written, browser):
    folder, groups, _ = written
    text = (folder / "report.html").read_text()
    assert "Which &lt;b&gt;one&lt;/b&gt;?" in text
    assert "<b>one" not in text
    with chromium.opened(browser, f"file://{folder}/report.html", chromium.PHONE) as page:
        assert chromium.accessibility_findings(page) == []
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 375
        shown = page.inner_text("main")
        for group in groups:
            for share in group.pairs.values():
                assert f"{share.wins} of {share.total}" in shown
        assert "3, fast" in shown


def test_without_fast_participants(written, tmp_path):
    _, _, votes = written
    study = definition(4, repeats=6, classes=("original", "DSLR", "enhanced"))
    kept = report.report(tmp_path, study, SETTINGS, votes, without_fast=True)
    assert kept[0].pairs["DSLR", "enhanced"].total == 41 * 9
    assert len(rows_of(tmp_path / "participants.csv")) == 42


def test_nothing_to_report(tmp_path):
    with pytest.raises(InputError, match="no votes"):
        report.report(tmp_path / "new", definition(), SETTINGS, [])
    assert not (tmp_path / "new").exists()


def test_one_participant_and_one_pair(tmp_path):
    votes = [vote(1, "a", "b")]
    (group,) = report.report(tmp_path, definition(classes=("a", "b", "c")), SETTINGS, votes)
    assert group.pairs["a", "b"].clustered is None
    assert group.pairs["a", "c"] is None
    assert len(rows_of(tmp_path / "shares.csv")) == 4
