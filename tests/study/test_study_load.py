"""Many participants at once lose nothing, and neither does a server that is killed."""

import asyncio

import load
import numpy as np
import pytest
from served_study import recorded, serving, start, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("load"))


def test_fifty_participants(study, tmp_path):
    for attempt in range(2):  # another program may have had the machine for a while
        database = tmp_path / str(attempt)
        with serving(study, database) as server:
            voters = load.run(server.port, people=50, seconds=8)
        assert load.lost_or_wrong(database, voters) == []
        seconds = np.concatenate([voter.seconds for voter in voters])
        assert len(seconds) == len(recorded(database)) >= 50 * 7
        if np.quantile(seconds, 0.95) < 0.1:
            return
    pytest.fail(f"p95 was {np.quantile(seconds, 0.95):.3f} s")


def test_killed_server_loses_no_acknowledged_vote(study, tmp_path):
    async def kill_twice():
        nonlocal server
        for _ in range(2):
            await asyncio.sleep(2.5)
            server.kill()
            server = await asyncio.to_thread(start, study, tmp_path / "v", server.port)

    server = start(study, tmp_path / "v")
    voters = load.run(server.port, 30, 12, kill_twice())
    server.kill()
    assert load.lost_or_wrong(tmp_path / "v", voters) == []
    assert len(recorded(tmp_path / "v")) >= 30 * 4
