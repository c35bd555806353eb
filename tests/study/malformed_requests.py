"""Requests with at least one thing wrong, for every parameter that the server reads.

A request is the bytes on the wire. Every part is drawn together with whether it is right; where all
parts happen to be right, the token is made wrong, so that no request may change anything.
"""

import dataclasses
import json

from hypothesis import strategies as st


@dataclasses.dataclass(frozen=True)
class Right:
    """What a request of a real participant would hold."""

    host: str
    token: str
    picture: str  # of the current question
    other_pictures: list[str]  # of later questions and of other participants
    position: int


JUNK = st.one_of(
    st.sampled_from(["../../../../etc/passwd", "..%2f..%2fstudy.yaml", "%2e%2e/v", "..\\..\\v"]),
    st.sampled_from(["", "/", "%", "%00", "%zz", "\x00", "💥", "A" * 5000, "' OR 1=1 --"]),
    st.text(max_size=20),
)
GETS = ["/", "/study.js", "/study.css", "/api/state"]
POSTS = ["/api/join", "/api/vote", "/api/vote", "/api/undo"]
NUMBERS = st.one_of(
    st.integers(0, 6),
    st.integers(-3, 120),
    st.integers(-(10**40), 10**40),
    st.sampled_from([True, False, None, 1.0, -0.0, 1e308, "0", "", [], {}, [0], 2**31, 2**63]),
)
HEADERS = st.one_of(
    st.sampled_from(["Range", "If-None-Match", "If-Modified-Since", "Accept", "Cookie", "Origin"]),
    st.sampled_from(["Host", "X-Forwarded-For", "X-Forwarded-Proto", "Expect", "Upgrade"]),
    st.sampled_from(["Transfer-Encoding", "Content-Length", "Content-Encoding", "Connection"]),
)
VALUES = st.one_of(
    st.sampled_from(["bytes=0-", "bytes=-1", "bytes=9-1,0-0", "bytes=a-b", "Mon, 99 Foo 2020"]),
    st.sampled_from(["chunked", "gzip, chunked", "-1", "1e3", "9" * 20, "websocket"]),
    st.sampled_from(["participant=", 'participant="\\777"', "null", "http://[bad", "https", "\t"]),
    JUNK,
)


def _mostly(right: object, *wrong: object) -> st.SearchStrategy:
    return st.sampled_from([right] * (6 * len(wrong)) + list(wrong))


def _wire(method, target, headers, body) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    text = "\r\n".join(line.replace("\r", "").replace("\n", "") for line in lines)
    return text.encode("utf-8", "surrogatepass") + b"\r\n\r\n" + body


@st.composite
def _bodies(draw, right: Right, path: str) -> tuple[bytes, bool]:
    """A body for a post to a path, and whether it is right."""
    if draw(st.integers(0, 9)) == 0:
        large = st.sampled_from([b"[" * 1023, b" " * 1025, b"9" * 100_000])
        junk = st.one_of(large, st.binary(max_size=60), JUNK.map(str.encode))
        return draw(junk), False
    posted, is_right = {}, True
    if path != "/api/join":
        wanted = right.position - (path == "/api/undo")
        posted["position"] = draw(st.one_of(*[st.just(wanted)] * 4, NUMBERS))
        # An undo that comes twice is right, too.
        is_right = type(posted["position"]) is int and 0 <= posted["position"] - wanted <= 1
    if path == "/api/vote":
        wrong = st.one_of(st.sampled_from(right.other_pictures), JUNK)
        posted["picture"] = draw(st.one_of(*[st.just(right.picture)] * 3, wrong))
        posted["milliseconds"] = draw(st.one_of(*[st.just(1500)] * 4, NUMBERS))
        is_right &= posted["picture"] == right.picture and type(posted["milliseconds"]) is int
    if draw(st.integers(0, 9)) == 0:
        is_right = False
        if posted and draw(st.booleans()):
            del posted[draw(st.sampled_from(sorted(posted)))]
        else:
            posted[draw(st.text(max_size=8)) + "x"] = draw(NUMBERS)
    return json.dumps(posted).encode(), is_right


@st.composite
def _posts(draw, right: Right) -> bytes:
    """Posts, of which at least one part is wrong."""
    path = draw(st.sampled_from(POSTS))
    body, is_right = draw(_bodies(right, path))
    method = draw(_mostly("POST", "GET", "PUT"))
    token = draw(st.one_of(*[st.just(right.token)] * 4, JUNK))
    origin = draw(_mostly(f"http://{right.host}", "https://evil.example", "null", ""))
    site = draw(_mostly("same-origin", "cross-site", "same-site", "none"))
    kind = draw(_mostly("application/json", "text/plain", "", "application/jsonx"))
    from_page = (origin, site, kind) == (f"http://{right.host}", "same-origin", "application/json")
    if from_page and method == "POST" and path == "/api/join":
        origin = "null"  # it would take a place where the token is not known
    elif from_page and method == "POST" and is_right:
        token = "guessed"
    headers = [("Host", right.host), ("Cookie", f"participant={token}"), ("Origin", origin)]
    headers += [("Sec-Fetch-Site", site), ("Content-Type", kind), ("Content-Length", len(body))]
    return _wire(method, path, [*headers, ("Connection", "close")], body)


@st.composite
def _gets(draw, right: Right) -> bytes:
    """Requests that read, of pages, pictures and invitations; most of what is not there."""
    path = draw(
        st.one_of(
            st.sampled_from(GETS),
            st.sampled_from(right.other_pictures).map("/api/pictures/{}".format),
            *[JUNK.map(prefix.__add__) for prefix in ("/api/pictures/", "/invitation/", "/")],
            JUNK.map("/api/state?{}".format),
        )
    )
    path = "".join("%20" if c == " " else c for c in path if c not in "\r\n")
    method = draw(_mostly("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X"))
    token = draw(st.one_of(*[st.just(right.token)] * 3, JUNK))
    headers = [("Host", right.host), ("Cookie", f"participant={token}")]
    if draw(st.booleans()):
        headers.append((draw(HEADERS), draw(VALUES)))
    return _wire(method, path, [*headers, ("Connection", "close")], b"")


@st.composite
def _broken(draw, right: Right) -> bytes:
    """Not HTTP, or a right vote that is cut off or has a wrong length: never a whole one."""
    vote = {"position": right.position, "picture": right.picture, "milliseconds": 1500}
    body = json.dumps(vote).encode()
    length = draw(st.sampled_from([len(body) + 1, "-1", "+5", "0x10", "", "5,5", "9" * 30, "1_0"]))
    headers = [("Host", right.host), ("Origin", f"http://{right.host}")]
    headers += [("Cookie", f"participant={right.token}"), ("Content-Type", "application/json")]
    request = _wire("POST", "/api/vote", [*headers, ("Content-Length", length)], body)
    headers.append(("Transfer-Encoding", "chunked"))
    chunked = _wire("POST", "/api/vote", headers, b"zz\r\n" + body)
    cut = request[: draw(st.integers(0, len(request) - 1))]
    return draw(st.one_of(st.sampled_from([request, chunked, cut]), st.binary(max_size=80)))


def requests(right: Right) -> st.SearchStrategy[list[tuple[bytes, bool]]]:
    """Ten requests of all kinds, each with whether it is whole: it is to be answered."""
    kinds = [(_posts(right), True)] * 5 + [(_gets(right), True)] * 3 + [(_broken(right), False)] * 2
    return st.tuples(*(st.tuples(kind, st.just(whole)) for kind, whole in kinds))
