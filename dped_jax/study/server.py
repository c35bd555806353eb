"""The web application of a study.

A participant is known by a token, which an invitation link or the open link puts into a cookie:
out of the address bar and the history, out of reach of scripts, and still there when the browser
is opened again. Posts are taken from the page itself only. The browser gets picture ids that are
different for every participant and say nothing; only those of the current question and the few
that are loaded ahead can be fetched. Nothing of a participant is logged, least of all tokens.
"""

import base64
import functools
import hmac
import json
import pathlib
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from absl import logging
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dped_jax.study.connections import refusals
from dped_jax.study.definition import Question, Study, order
from dped_jax.study.pictures import MEDIA_TYPE, Picture
from dped_jax.study.store import OutOfTurn, Participant, Store

COOKIE = "participant"
COOKIE_SECONDS = 60 * 24 * 3600  # how long a participant may take to come back
MAX_BODY = 1024  # bytes; a vote has about 80
MAX_MILLISECONDS = 24 * 3600 * 1000  # of an answer
LOADED_AHEAD = 3  # questions
PAGE = pathlib.Path(__file__).parent / "page"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


class _Headers:
    """Adds the security headers to every answer; what sets no caching is not kept at all."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _refused(status: int, reason: str) -> HTTPException:
    return HTTPException(status, reason)


async def _on_refusal(request: Request, error: Exception) -> Response:
    """Logs a refusal by its route, without what a participant or an attacker wrote."""
    route = request.scope.get("route")
    where = route.path if route else "an unknown path"
    assert isinstance(error, HTTPException)
    refusals.log(f"({error.status_code}) on {where}", error.detail)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _on_database_error(request: Request, error: Exception) -> Response:
    logging.error("the database failed; nothing was recorded: %s", getattr(error, "orig", error))
    headers = {"Retry-After": "1"}
    return JSONResponse({"error": "the database does not answer"}, 503, headers)


async def _posted(request: Request, keys: dict[str, type]) -> dict[str, Any]:
    """Reads a post from the page itself: a small JSON object of exactly these keys."""
    _, _, origin = request.headers.get("origin", "").partition("://")
    site = request.headers.get("sec-fetch-site", "same-origin")
    if not origin or origin != request.headers.get("host") or site != "same-origin":
        raise _refused(403, "a post from another site")
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise _refused(415, "not JSON")
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise _refused(413, "the body is too large")
    except ClientDisconnect as error:
        raise _refused(400, "cut off") from error
    try:
        posted = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _refused(400, "not JSON") from error
    if not isinstance(posted, dict) or {k: type(v) for k, v in posted.items()} != keys:
        raise _refused(422, f"not an object of {', '.join(keys) or 'nothing'}")
    return posted


class StudyServer:
    """Answers the page of one study."""

    def __init__(self, study: Study, store: Store, pictures: dict[Picture, bytes]):
        self._study, self._store, self._pictures = study, store, pictures
        self._secret, self._definition, _ = store.study()
        self._order = functools.lru_cache(1000)(functools.partial(order, self._definition))

    def _picture_id(self, participant: Participant, picture: Picture) -> str:
        message = "\0".join((str(participant.number), *picture)).encode()
        digest = hmac.digest(bytes.fromhex(self._secret), message, "sha256")
        return base64.urlsafe_b64encode(digest[:18]).decode()

    def _shown(self, participant: Participant, question: Question) -> dict[str, Picture]:
        """The two pictures of a question by id, the left one first."""
        return {
            self._picture_id(participant, picture): picture
            for picture in (
                (question.group, question.picture, question.left),
                (question.group, question.picture, question.right),
            )
        }

    def _ahead(self, participant: Participant) -> list[dict[str, Picture]]:
        """The pictures of the current question and of those that are loaded ahead."""
        first = participant.answered
        questions = self._order(participant.seed)[first : first + 1 + LOADED_AHEAD]
        return [self._shown(participant, question) for question in questions]

    def _state(self, participant: Participant | None) -> dict[str, Any]:
        texts = {"title": self._study.title, "instructions": self._study.instructions}
        if not participant:
            return texts | {"joined": False, "open": self._study.open_places > 0}
        return texts | {
            "joined": True,
            "total": len(self._order(participant.seed)),
            "position": participant.answered,
            "questions": [list(shown) for shown in self._ahead(participant)],
        }

    async def _participant(self, request: Request) -> tuple[str, Participant]:
        token = request.cookies.get(COOKIE, "")
        participant = await run_in_threadpool(self._store.participant, token)
        if not participant:
            raise _refused(401, "not a participant")
        return token, participant

    async def _in_turn(self, change: Callable[..., Participant], *args: Any) -> Response:
        try:
            participant = await run_in_threadpool(change, *args)
        except OutOfTurn as error:
            raise _refused(409, f"out of turn: {error}") from error
        return JSONResponse(self._state(participant))

    def _welcome(self, request: Request, response: Response, token: str) -> Response:
        response.set_cookie(
            COOKIE,
            token,
            max_age=COOKIE_SECONDS,
            httponly=True,
            samesite="lax",  # strict would be left out where a link in a mail is followed
            secure=request.url.scheme == "https",
        )
        return response

    async def invitation(self, request: Request) -> Response:
        """Turns an invitation link into a cookie. Nothing is counted: chats preview links."""
        token = request.path_params["token"]
        if not await run_in_threadpool(self._store.participant, token):
            raise _refused(404, "this invitation is not known")
        return self._welcome(request, Response(status_code=303, headers={"Location": "/"}), token)

    async def join(self, request: Request) -> Response:
        """Takes a place of the open link, unless the browser has one."""
        await _posted(request, {})
        token = request.cookies.get(COOKIE, "")
        participant = await run_in_threadpool(self._store.participant, token)
        if not participant:
            joined = await run_in_threadpool(self._store.join, self._study.open_places)
            if not joined:
                raise _refused(403, "all places are taken")
            token = joined
            participant = await run_in_threadpool(self._store.participant, token)
        return self._welcome(request, JSONResponse(self._state(participant)), token)

    async def state(self, request: Request) -> Response:
        """Where the participant is: position, and picture ids of the next questions."""
        token = request.cookies.get(COOKIE, "")
        return JSONResponse(self._state(await run_in_threadpool(self._store.participant, token)))

    async def picture(self, request: Request) -> Response:
        """A picture of the current question or one of the next."""
        _, participant = await self._participant(request)
        for shown in self._ahead(participant):
            if request.path_params["id"] in shown:
                content = self._pictures[shown[request.path_params["id"]]]
                headers = {"Cache-Control": "private, max-age=86400, immutable"}
                return Response(content, media_type=MEDIA_TYPE, headers=headers)
        raise _refused(404, "not a picture of the current question")

    async def vote(self, request: Request) -> Response:
        """Records which picture of a question was chosen; answers with the next state."""
        keys = {"position": int, "picture": str, "milliseconds": int}
        posted = await _posted(request, keys)
        token, participant = await self._participant(request)
        position, questions = posted["position"], self._order(participant.seed)
        if not 0 <= position < len(questions):
            raise _refused(409, "no such question")
        if not 0 <= posted["milliseconds"] <= MAX_MILLISECONDS:
            raise _refused(422, "no time that an answer takes")
        shown = self._shown(participant, questions[position])
        if posted["picture"] not in shown:
            raise _refused(409, "not a picture of the question")
        chosen = shown[posted["picture"]][-1]
        return await self._in_turn(
            self._store.vote, token, position, questions[position], chosen, posted["milliseconds"]
        )

    async def undo(self, request: Request) -> Response:
        """Takes the last vote back; answers with its question as the current one."""
        posted = await _posted(request, {"position": int})
        token, participant = await self._participant(request)
        if not 0 <= posted["position"] < len(self._order(participant.seed)):
            raise _refused(409, "no such question")
        return await self._in_turn(self._store.undo, token, posted["position"])

    def app(self) -> Starlette:
        """The application, to be run by uvicorn."""

        def page_file(name: str) -> Callable[[Request], Response]:
            return lambda request: FileResponse(PAGE / name, headers={"Cache-Control": "no-cache"})

        return Starlette(
            routes=[
                Route("/", page_file("index.html")),
                Route("/study.css", page_file("study.css")),
                Route("/study.js", page_file("study.js")),
                Route("/invitation/{token}", self.invitation),
                Route("/api/state", self.state),
                Route("/api/pictures/{id}", self.picture),
                Route("/api/join", self.join, methods=["POST"]),
                Route("/api/vote", self.vote, methods=["POST"]),
                Route("/api/undo", self.undo, methods=["POST"]),
            ],
            middleware=[Middleware(_Headers)],
            exception_handlers={
                HTTPException: _on_refusal,
                sa.exc.DBAPIError: _on_database_error,
                sa.exc.TimeoutError: _on_database_error,
            },
        )
