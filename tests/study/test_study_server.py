"""What the server gives away, and what it refuses."""

import concurrent.futures
import json

import cv2
import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image
from served_study import CLASSES, Participant, connected, invite, recorded, serving, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"), groups=2, pictures=3)


@pytest.fixture(scope="module")
def server(study):
    with serving(study, study.with_name("v")) as running:
        yield running


@pytest.fixture
def participant(server):
    """One who has answered two questions."""
    someone = Participant(server)
    state = someone.join()
    for side in (0, 1):
        status, state = someone.vote(state, side)
        assert status == 200
    return someone


@pytest.fixture
def unchanged(study, server):
    """Nothing is recorded by the test, but what the fixtures before have; refusals are logged."""
    everything = "participant, position, picture, chosen, milliseconds"
    before, log = recorded(study.with_name("v"), everything), server.log.read_text()
    yield
    assert recorded(study.with_name("v"), everything) == before
    logged = server.log.read_text()[len(log) :]
    assert "refused" in log + logged  # of each kind once a minute


def vote_of(participant: Participant) -> dict:
    """A vote that would be accepted."""
    state = participant.state()
    picture = state["questions"][0][0]
    return {"position": state["position"], "picture": picture, "milliseconds": 900}


def test_votes_are_what_was_seen_and_chosen(study, server):
    someone, expected = Participant(server), []
    state = someone.join()
    for position in range(state["total"]):
        assert state["position"] == position
        left, right = (someone.see(picture) for picture in state["questions"][0])
        side = position % 2
        expected.append((position, *left, right[2], (left, right)[side][2], 1000 + position))
        status, state = someone.vote(state, side, 1000 + position)
        assert status == 200
    assert (state["position"], state["questions"]) == (18, [])
    columns = 'participant, position, "group", picture, "left", "right", chosen, milliseconds'
    rows = recorded(study.with_name("v"), columns)
    own = max(row[0] for row in rows)
    assert [row[1:] for row in rows if row[0] == own] == expected


def test_undo_takes_the_last_vote_back(participant, study):
    before = recorded(study.with_name("v"))
    assert participant.post("undo", {"position": 0})[0] == 409
    status, state = participant.post("undo", {"position": 1})
    assert (status, state["position"]) == (200, 1)
    status, again = participant.post("undo", {"position": 1})  # sent twice: taken back once
    assert (status, again) == (200, state)
    assert recorded(study.with_name("v")) == before[:-1]
    assert participant.vote(state, 0)[0] == 200
    assert len(recorded(study.with_name("v"))) == len(before)


@pytest.mark.parametrize("token", ["", "guess", "A" * 32, "../../etc/passwd", "\xff\x00", "%00"])
def test_guessed_tokens(server, participant, unchanged, token):
    vote = vote_of(participant)
    guess = Participant(server, token.encode().decode("latin-1").replace("\x00", ""))
    for action, posted in (("vote", vote), ("undo", {"position": 1})):
        assert guess.post(action, posted)[0] == 401
    assert guess.request("GET", f"/api/pictures/{vote['picture']}")[0] == 401
    assert guess.state()["joined"] is False
    quoted = token.encode("latin-1").hex("%")
    assert guess.request("GET", f"/invitation/%{quoted}" if quoted else "/invitation/")[0] == 404
    assert "set-cookie" not in guess.headers


def test_pictures_of_others_and_of_other_questions(server, participant, unchanged):
    other = Participant(server)
    foreign = {picture for pair in other.join()["questions"] for picture in pair}
    state = participant.state()
    own = {picture for pair in state["questions"] for picture in pair}
    assert not foreign & own
    assert len(state["questions"]) == 4
    for picture in own:
        assert participant.request("GET", f"/api/pictures/{picture}")[0] == 200
        assert other.request("GET", f"/api/pictures/{picture}")[0] == 404
    later = (own - set(state["questions"][0])).pop()
    for picture in (foreign.pop(), later, "", "0", "../study.yaml", "original"):
        assert participant.post("vote", vote_of(participant) | {"picture": picture})[0] == 409


def test_picture_ids_far_ahead_are_refused(server):
    first, second = Participant(server), Participant(server)
    state = first.join()
    second.token = first.token
    start = {picture for pair in state["questions"] for picture in pair}
    for _ in range(9):
        state = first.vote(state, 0)[1]
    ahead = {picture for pair in state["questions"] for picture in pair} - start
    for position in range(8, -1, -1):
        first.post("undo", {"position": position})
    refused = [p for p in ahead if second.request("GET", f"/api/pictures/{p}")[0] == 404]
    assert sorted(refused) == sorted(ahead)


def test_repeated_and_out_of_order_posts(participant, study, unchanged):
    vote = vote_of(participant)
    rows = recorded(study.with_name("v"))
    for position in (0, 3, 17, 18, 10**30, -1):
        assert participant.post("vote", vote | {"position": position})[0] == 409
        assert participant.post("undo", {"position": position})[0] == 409
    status, state = participant.post("vote", vote)
    for _ in range(3):  # the same vote again is answered as the first time
        assert participant.post("vote", vote) == (status, state)
    assert len(recorded(study.with_name("v"))) == len(rows) + 1
    other = participant.state()
    participant.post("undo", {"position": vote["position"]})
    pair = participant.state()["questions"][0]
    assert participant.post("vote", vote)[0] == 200
    assert participant.post("vote", vote | {"picture": pair[1]})[0] == 409  # changed its mind
    assert participant.state() == other
    participant.post("undo", {"position": vote["position"]})


TRAVERSALS = ("../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/study.yaml")


@pytest.mark.parametrize("path", [*TRAVERSALS, "....//study.yaml", "/etc/passwd", "..\\study.yaml"])
def test_path_traversal_in_every_parameter(participant, unchanged, path):
    for prefix in ("/", "/api/pictures/", "/invitation/", "/page/", "/study.css/", "/api/"):
        status, body = participant.request("GET", prefix + path)
        assert status in (404, 405)
        assert b"root:" not in body
        assert b"Which one?" not in body
    for vote in ({"picture": path}, {"position": path}, {"milliseconds": path}):
        assert participant.post("vote", vote_of(participant) | vote)[0] in (409, 422)


def test_bodies_too_large_or_no_vote(participant, unchanged):
    vote = vote_of(participant)
    assert participant.post("vote", vote | {"picture": "x" * 2000})[0] == 413
    chunks = (b"[" * 700 for _ in range(3))
    json_post = {"Origin": participant.origin, "Content_Type": "application/json"}
    assert participant.request("POST", "/api/vote", chunks, **json_post)[0] == 413
    for body in (b"", b"{", b"[" * 1000, b"\xff", b"9" * 1000, b"NaN", b"null", b"[]", b"{}"):
        assert participant.request("POST", "/api/vote", body, **json_post)[0] in (400, 422)
    for wrong in (True, 1.0, "1", None, [1], {}, 1e400):
        for name in ("position", "milliseconds"):
            assert participant.post("vote", vote | {name: wrong})[0] in (400, 422)
    for milliseconds in (-1, 24 * 3600 * 1000 + 1, 10**20):
        assert participant.post("vote", vote | {"milliseconds": milliseconds})[0] == 422
    assert participant.post("vote", vote | {"participant": 1})[0] == 422


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://[bad"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/x-www-form-urlencoded"},
    ],
)
def test_posts_of_other_sites(server, participant, unchanged, headers):
    vote = vote_of(participant)
    for action, posted in (("vote", vote), ("undo", {"position": 1}), ("join", {})):
        assert participant.post(action, posted, **headers)[0] in (403, 415)
    assert participant.post("join", {"a": 1})[0] == 422


def test_invitations(study, server):
    one, two = invite(study, study.with_name("v"), 2)
    assert one != two
    assert len(one) == 32
    visitor = Participant(server)
    for method in ("HEAD", "GET"):
        assert visitor.request(method, f"/invitation/{one}")[0] == 303
        assert visitor.headers["location"] == "/"
    cookie = visitor.headers["set-cookie"].split("; ")
    assert cookie[0] == f"participant={one}"
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie)
    assert one.encode() not in study.with_name("v").read_bytes()  # only its hash is kept
    secure = {"X_Forwarded_Proto": "https"}
    visitor.request("GET", f"/invitation/{two}", **secure)
    assert "Secure" in visitor.headers["set-cookie"].split("; ")
    visitor.token = one
    assert visitor.state()["position"] == 0


def test_open_places_are_counted_once(tmp_path):
    study = write_study(tmp_path, 1, 1, open_places=5)
    with serving(study, tmp_path / "v") as server:
        visitors = [Participant(server) for _ in range(20)]
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda visitor: visitor.post("join", {})[0], visitors))
        assert sorted(answers) == [200] * 5 + [403] * 15
        guest = visitors[answers.index(200)]
        guest.token = guest.headers["set-cookie"].split(";")[0].split("=")[1]
        assert guest.post("join", {})[0] == 200  # comes again: the same place
        (token,) = invite(study, tmp_path / "v", 1)  # invitations are not of those places
        assert Participant(server, token).state()["joined"]


def test_nothing_tells_the_class(tmp_path):
    """Names, formats, sizes of files and metadata stay on the server; pixels arrive as they are."""
    study = write_study(tmp_path, 1, 2)
    rng = np.random.default_rng(0)
    originals = {}
    for picture in range(2):
        for name, suffix in zip(CLASSES, ("jpg", "png", "tif"), strict=True):
            path = tmp_path / f"group0/{name}_pictures/scene{picture}.png"
            path.unlink()
            noise = rng.integers(-8, 8, (64, 80, 1)) * (3 - CLASSES.index(name))
            pixels = np.repeat(100 + noise, 3, axis=-1).astype(np.uint8)
            exif = Image.Exif()
            exif[0x0110] = f"camera of {name}"
            path = path.with_suffix(f".{suffix}")
            Image.fromarray(pixels).save(path, exif=exif)
            originals[name, picture] = np.asarray(Image.open(path).convert("RGB"))
    with serving(study, tmp_path / "v") as server:
        someone = Participant(server)
        state, given = someone.join(), [json.dumps(someone.join())]
        assert set(state) == {"title", "instructions", "joined", "total", "position", "questions"}
        received = {}
        while state["questions"]:
            for picture in state["questions"][0]:
                status, body = someone.request("GET", f"/api/pictures/{picture}")
                assert status == 200
                headers = dict(someone.headers)
                headers.pop("date")
                received.setdefault(picture, (body, headers))
            status, state = someone.vote(state, 0)
            given.append(json.dumps(state))
        page = [someone.request("GET", path)[1] for path in ("/", "/study.js", "/study.css")]
    assert len(received) == 6
    text = b"".join([*page, *(body for body, _ in received.values())]) + "".join(given).encode()
    for word in (*CLASSES, "scene0", "scene1", "Group", "camera"):
        assert word.encode() not in text
    lengths = {}
    for body, headers in received.values():
        image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR_RGB)
        (which,) = (key for key, pixels in originals.items() if np.array_equal(pixels, image))
        lengths.setdefault(which[1], []).append((len(body), headers))
    for (first, *others), number in zip(lengths.values(), (3, 3), strict=True):
        assert others == [first] * (number - 1)


def test_headers(server, participant):
    picture = participant.state()["questions"][0][0]
    for path in (
        "/",
        "/study.js",
        "/study.css",
        "/nothing",
        "/api/state",
        f"/api/pictures/{picture}",
    ):
        participant.request("GET", path)
        headers = participant.headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"].split(",")[0] in ("no-store", "no-cache", "private")
        assert "server" not in headers
    assert headers["cache-control"].startswith("private")


def test_results_and_files_are_not_served(server, participant):
    for path in (
        "/votes",
        "/report",
        "/export",
        "/study.yaml",
        "/v",
        "/api",
        "/api/votes",
        "/docs",
    ):
        assert participant.request("GET", path)[0] == 404
    for path in ("/api/vote", "/api/undo", "/api/join"):
        assert participant.request("GET", path)[0] == 405


def test_the_log_has_no_tokens(server, participant):
    participant.post("vote", vote_of(participant) | {"picture": "secret-text"})
    participant.request("GET", "/invitation/guessed-token")
    log = server.log.read_text()
    assert participant.token not in log
    assert "guessed-token" not in log
    assert "secret-text" not in log
    assert "refused (404) on /invitation/{token}" in log


def test_a_database_that_fails_records_nothing_and_comes_back(tmp_path):
    study = write_study(tmp_path, 1, 2)
    with serving(study, tmp_path / "v") as server:
        someone = Participant(server)
        state = someone.join()
        with connected(tmp_path / "v") as connection:
            connection.execute(sa.text("ALTER TABLE votes RENAME TO away"))
        assert someone.vote(state, 0) == (503, {"error": "the database does not answer"})
        assert someone.headers["retry-after"] == "1"
        with connected(tmp_path / "v") as connection:
            connection.execute(sa.text("ALTER TABLE away RENAME TO votes"))
        assert recorded(tmp_path / "v") == []
        assert someone.vote(state, 0)[0] == 200
        log = server.log.read_text()
        assert "the database failed; nothing was recorded: no such table: votes" in log
