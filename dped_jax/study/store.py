"""Participants and votes, in SQLite or PostgreSQL.

Of a participant only a number, the hash of the token, the seed of the order and the answers are
kept. A vote is in the database, on disk, before `vote` returns. Every transaction locks before it
reads: SQLite as a whole, PostgreSQL the participant's (or the study's) row; so several servers may
share a PostgreSQL database.
"""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import secrets
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from dped_jax.base.errors import InputError
from dped_jax.study.definition import Question, Study, define

SETTINGS = ("title", "min_median_seconds")  # what the report needs, and may change

metadata = sa.MetaData()
studies = sa.Table(
    "studies",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),  # always 1: one study a database
    sa.Column("secret", sa.String(64), nullable=False),  # of the ids of pictures
    sa.Column("definition", sa.Text, nullable=False),  # study.define, as JSON
    sa.Column("settings", sa.Text, nullable=False),  # what may change while it runs, as JSON
)
participants = sa.Table(
    "participants",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("token_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("invited", sa.Boolean, nullable=False),
)
votes = sa.Table(
    "votes",
    metadata,
    sa.Column("participant", sa.ForeignKey("participants.number"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),  # from 0
    sa.Column("group", sa.Text, nullable=False),
    sa.Column("picture", sa.Text, nullable=False),
    sa.Column("left", sa.Text, nullable=False),  # classes, as they were shown
    sa.Column("right", sa.Text, nullable=False),
    sa.Column("chosen", sa.Text, nullable=False),
    sa.Column("repeated", sa.Boolean, nullable=False),
    sa.Column("milliseconds", sa.Integer, nullable=False),  # from both pictures shown to the answer
)


@dataclasses.dataclass(frozen=True)
class Participant:
    """Who answers, and how far they are."""

    number: int
    seed: int
    answered: int


class OutOfTurn(Exception):  # noqa: N818 (a refusal, no error of the program)
    """A vote or an undo that is not for the participant's current question."""


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _engine(database: str, create: bool) -> sa.Engine:
    if "://" not in database:
        if not create and not pathlib.Path(database).is_file():
            raise InputError(f"--database={database}: no such file; `study serve` makes it")
        url = sa.URL.create("sqlite", database=database)
    else:
        try:
            url = sa.make_url(database)
        except sa.exc.ArgumentError as error:
            raise InputError(
                "--database: neither a file nor postgresql://USER@HOST/NAME"
            ) from error
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise InputError(f"--database: {url.get_backend_name()} is neither SQLite nor PostgreSQL")
    if url.get_backend_name() == "postgresql":
        try:
            return sa.create_engine(url, pool_pre_ping=True, pool_size=16)
        except ModuleNotFoundError as error:
            raise InputError(
                '--database: PostgreSQL needs psycopg: pip install "dped_jax[study-postgres]"'
            ) from error
    # One connection: SQLite writes one at a time anyway, and waits by sleeping.
    engine = sa.create_engine(url, pool_size=1, max_overflow=0, connect_args={"timeout": 30})

    @sa.event.listens_for(engine, "connect")
    def configure(connection, _) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by itself
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def begin(connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


class Store:
    """A database of one study."""

    def __init__(self, engine: sa.Engine):
        self._engine = engine

    def define(self, study: Study) -> None:
        """Puts a study into a database that has none yet; what is asked cannot change later.

        Raises:
          InputError: the database holds another study.
        """
        definition = define(study)
        settings = {name: getattr(study, name) for name in SETTINGS}
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(studies)).first()
            if not row:
                connection.execute(
                    sa.insert(studies).values(
                        number=1,
                        secret=secrets.token_hex(32),
                        definition=json.dumps(definition),
                        settings=json.dumps(settings),
                    )
                )
                return
            held = json.loads(row.definition)
            for name, value in definition.items():
                if held[name] != value:
                    raise InputError(
                        f"--database: belongs to a study with other {name} (or other pictures in"
                        " them); what is asked and shown must stay the same: take a new database"
                    )
            connection.execute(sa.update(studies).values(settings=json.dumps(settings)))

    def study(self) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """The secret, definition and settings of the study.

        Raises:
          InputError: the database has none.
        """
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(studies)).first()
        if not row:
            raise InputError("--database: holds no study yet; `study serve` puts it there")
        return row.secret, json.loads(row.definition), json.loads(row.settings)

    def _add(self, connection: sa.Connection, invited: bool) -> str:
        token = secrets.token_urlsafe(24)
        values = {"token_hash": _hash(token), "seed": secrets.randbits(62), "invited": invited}
        connection.execute(sa.insert(participants).values(values))
        return token

    def invite(self, count: int) -> list[str]:
        """Adds participants; returns their tokens, which are kept nowhere."""
        with self._engine.begin() as connection:
            return [self._add(connection, invited=True) for _ in range(count)]

    def join(self, places: int) -> str | None:
        """Adds a participant who came by the open link; None where its places are taken."""
        came = sa.select(sa.func.count()).where(participants.c.invited.is_(False))
        with self._engine.begin() as connection:
            connection.execute(sa.select(studies.c.number).with_for_update())
            if connection.scalars(came.select_from(participants)).one() >= places:
                return None
            return self._add(connection, invited=False)

    def _find(self, connection: sa.Connection, token: str, lock: bool) -> Participant | None:
        query = sa.select(participants.c.number, participants.c.seed).where(
            participants.c.token_hash == _hash(token)
        )
        row = connection.execute(query.with_for_update() if lock else query).first()
        if not row:
            return None
        count = sa.select(sa.func.count()).where(votes.c.participant == row.number)
        return Participant(row.number, row.seed, connection.scalars(count).one())

    def participant(self, token: str) -> Participant | None:
        """Finds a participant; None where the token is not known."""
        with self._engine.begin() as connection:
            return self._find(connection, token, lock=False)

    def vote(
        self, token: str, position: int, question: Question, chosen: str, milliseconds: int
    ) -> Participant:
        """Records a vote; the same vote again changes nothing.

        Raises:
          OutOfTurn: the position is neither the current one nor was answered so.
        """
        with self._engine.begin() as connection:
            found = self._find(connection, token, lock=True)
            if found and position == found.answered:
                values = dataclasses.asdict(question) | {"chosen": chosen}
                values |= {"position": position, "milliseconds": milliseconds}
                connection.execute(sa.insert(votes).values(participant=found.number, **values))
                return dataclasses.replace(found, answered=position + 1)
            if found and position == found.answered - 1:
                given = sa.select(votes.c.chosen).where(
                    votes.c.participant == found.number, votes.c.position == position
                )
                if connection.scalar(given) == chosen:
                    return found
        raise OutOfTurn(f"vote for question {position + 1}")

    def undo(self, token: str, position: int) -> Participant:
        """Takes the last vote back; the same undo again changes nothing.

        Raises:
          OutOfTurn: the position is not that of the last vote.
        """
        with self._engine.begin() as connection:
            found = self._find(connection, token, lock=True)
            if found and position == found.answered - 1:
                last = (votes.c.participant == found.number) & (votes.c.position == position)
                connection.execute(sa.delete(votes).where(last))
                return dataclasses.replace(found, answered=position)
            if found and position == found.answered:
                return found
        raise OutOfTurn(f"undo of question {position + 1}")

    def votes(self) -> list[dict[str, Any]]:
        """All votes, by participant and position."""
        query = sa.select(votes).order_by(votes.c.participant, votes.c.position)
        with self._engine.begin() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]


@contextlib.contextmanager
def opened(database: str, *, create: bool = False) -> Iterator[Store]:
    """Opens a database: the name of an SQLite file, or postgresql://USER:PASSWORD@HOST/NAME.

    Raises:
      InputError: it cannot be opened; where not `create`, it is missing.
    """
    engine = _engine(database, create)
    shown = "--database=" + (str(engine.url) if "://" in database else database)
    try:
        if create:
            metadata.create_all(engine)
        elif not sa.inspect(engine).has_table("studies"):
            raise InputError(f"{shown}: holds no study yet; `study serve` puts it there")
        yield Store(engine)
    except sa.exc.DBAPIError as error:
        raise InputError(f"{shown}: {error.orig}") from error
    finally:
        engine.dispose()
