"""SQLite and PostgreSQL hold the same: votes in turn, once, each by its participant."""

import concurrent.futures
import dataclasses
import pathlib
import subprocess
import sys

import load
import postgres
import pytest
import sqlalchemy as sa
from served_study import ROOT, Participant, connected, serving, write_study

from dped_jax.base.errors import InputError
from dped_jax.study import store
from dped_jax.study.definition import Question
from dped_jax.study.definition import load as load_study

QUESTION = Question("Group 0", "scene0", "DSLR", "original")


@pytest.fixture(scope="module")
def postgres_url():
    with postgres.running() as url:
        yield url


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"), 2, 3, open_places=7)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """An empty database."""
    if request.param == "sqlite":
        return str(tmp_path / "v")
    url = request.getfixturevalue("postgres_url")
    with connected(url) as connection:
        store.metadata.drop_all(connection)
    return url


@pytest.fixture
def opened(database, study):
    with store.opened(database, create=True) as opened:
        opened.define(load_study(study))
        yield opened


def test_votes_in_turn(opened):
    (token,) = opened.invite(1)
    other = opened.join(7)
    for position in range(3):
        again = dataclasses.replace(QUESTION, picture=f"scene{position}")
        state = opened.vote(token, position, again, "DSLR", 10 + position)
        assert state.answered == position + 1
    assert opened.vote(token, 2, again, "DSLR", 99) == state  # the same once more
    for position, chosen in ((2, "original"), (1, "DSLR"), (4, "DSLR"), (0, "DSLR")):
        with pytest.raises(store.OutOfTurn):
            opened.vote(token, position, QUESTION, chosen, 10)
    with pytest.raises(store.OutOfTurn):
        opened.vote("nobody", 0, QUESTION, "DSLR", 10)
    with pytest.raises(store.OutOfTurn):
        opened.undo(token, 0)
    assert opened.undo(token, 2).answered == opened.undo(token, 2).answered == 2
    assert opened.participant(other).answered == 0
    votes = opened.votes()
    assert [(v["picture"], v["milliseconds"]) for v in votes] == [("scene0", 10), ("scene1", 11)]
    assert votes[0] == dataclasses.asdict(QUESTION) | {
        "participant": 1,
        "position": 0,
        "chosen": "DSLR",
        "milliseconds": 10,
    }


def test_sqlite_writes_to_disk_before_it_answers(tmp_path):
    with store.opened(str(tmp_path / "v"), create=True) as opened, opened._engine.begin() as begun:
        assert begun.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert begun.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def test_of_many_at_once_one_counts(opened):
    (token,) = opened.invite(1)

    def vote(i: int) -> bool:
        try:
            opened.vote(token, 0, QUESTION, "DSLR" if i % 2 else "original", i)
        except store.OutOfTurn:
            return False
        return True

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        accepted = list(pool.map(vote, range(32)))
        places = list(pool.map(lambda _: opened.join(7), range(32)))
    assert len(opened.votes()) == 1
    assert sum(accepted) == 16  # those that chose as the first one did
    assert len(set(places) - {None}) == 7


def test_a_vote_waits_for_another_of_the_same_participant(opened, database):
    (token,) = opened.invite(1)
    row = dataclasses.asdict(QUESTION) | {"participant": 1, "position": 0, "milliseconds": 5}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with connected(database) as connection:  # of another server, say
            connection.execute(sa.select(store.participants).with_for_update())
            connection.execute(sa.insert(store.votes).values(chosen="DSLR", **row))
            waiting = pool.submit(opened.vote, token, 0, QUESTION, "DSLR", 10)
            with pytest.raises(concurrent.futures.TimeoutError):
                waiting.result(0.5)
        assert waiting.result(10).answered == 1  # is the same vote, and counts once
    assert [vote["milliseconds"] for vote in opened.votes()] == [5]


def test_the_database_itself_refuses_a_second_vote(opened, database):
    (token,) = opened.invite(1)
    opened.vote(token, 0, QUESTION, "DSLR", 1)
    with pytest.raises(sa.exc.IntegrityError), connected(database) as connection:
        connection.execute(sa.insert(store.votes).values(opened.votes()[0]))


def test_only_the_same_study_goes_on(opened, study):
    same = load_study(study)
    secret, definition, _ = opened.study()
    opened.define(dataclasses.replace(same, title="Other words", min_median_seconds=2.0))
    assert opened.study()[:2] == (secret, definition)
    assert opened.study()[2] == {"title": "Other words", "min_median_seconds": 2.0}
    for other in (
        dataclasses.replace(same, groups=same.groups[:1]),
        dataclasses.replace(same, repeats=1),
        dataclasses.replace(same, max_side=100),
    ):
        with pytest.raises(InputError, match="take a new database"):
            opened.define(other)
    picture = next(iter(same.groups[0].folders.values())) / "scene0.png"
    content = picture.read_bytes()
    picture.write_bytes(content + b"\0")
    with pytest.raises(InputError, match="other groups"):
        opened.define(same)
    picture.write_bytes(content)
    opened.define(same)


def test_postgresql_serves_two_servers_at_once(postgres_url, study, tmp_path):
    with connected(postgres_url) as connection:
        store.metadata.drop_all(connection)
    many = write_study(tmp_path, 2, 3)
    with serving(many, postgres_url) as one, serving(many, postgres_url) as two:
        voters = load.run(one.port, 10, 3)
        someone, elsewhere = Participant(one), Participant(two)
        state = someone.join()
        elsewhere.token = someone.token
        assert elsewhere.vote(state, 0)[0] == 200
        assert someone.state()["position"] == 1
        assert someone.post("undo", {"position": 0})[0] == 200
    assert load.lost_or_wrong(postgres_url, voters) == []
    for command, output in (("export", "votes.csv"), ("report", "results")):
        flags = [f"--database={postgres_url}", f"--output={tmp_path / output}"]
        subprocess.run(
            [sys.executable, "-m", "dped_jax.study", command, *flags], cwd=ROOT, check=True
        )
    rows = pathlib.Path(tmp_path / "votes.csv").read_text().splitlines()
    assert len(rows) == 1 + sum(len(voter.acknowledged) for voter in voters)
