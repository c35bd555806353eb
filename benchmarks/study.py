"""The study's server under load: 50 participants who vote once a second for 60 seconds.

    python benchmarks/study.py
    python benchmarks/study.py --database=postgresql://USER@HOST/NAME

Server and participants share this machine. Then the same with SIGKILL after 20 and 40 seconds.
Every acknowledged vote must be recorded, once, and nothing else.
"""

import argparse
import asyncio
import pathlib
import sys
import tempfile

import numpy as np

TESTS = pathlib.Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS.parent), str(TESTS), str(TESTS / "study")]
PEOPLE = 50


def measure(study: pathlib.Path, database: str, seconds: float, kills: int) -> None:
    """Prints one row."""
    import load
    from served_study import start

    async def kill() -> None:
        nonlocal server
        for _ in range(kills):
            await asyncio.sleep(seconds / (kills + 1))
            server.kill()
            server = await asyncio.to_thread(start, study, database, server.port)

    server = start(study, database)
    voters = load.run(server.port, PEOPLE, seconds, kill())
    server.kill()
    wrong = load.lost_or_wrong(database, voters)
    times = 1000 * np.concatenate([voter.seconds for voter in voters])
    median, p95, p99 = np.quantile(times, [0.5, 0.95, 0.99])
    print(
        f"{kills} kills | {len(times)} votes | {len(wrong)} lost, doubled or wrong | median"
        f" {median:.1f} ms | p95 {p95:.1f} ms | p99 {p99:.1f} ms | longest {times.max():.0f} ms",
        flush=True,
    )


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", help="instead of a new SQLite file: an empty PostgreSQL one")
    parser.add_argument("--seconds", type=float, default=60)
    args = parser.parse_args()
    from served_study import connected, write_study

    from dped_jax.study import store

    for kills in (0, 2):
        with tempfile.TemporaryDirectory() as folder:
            study = write_study(pathlib.Path(folder))
            measure(study, args.database or f"{folder}/votes.sqlite", args.seconds, kills)
        if args.database:
            with connected(args.database) as connection:
                store.metadata.drop_all(connection)


if __name__ == "__main__":
    main()
