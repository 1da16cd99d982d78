"""The application: routes, and how a question gets to the store and back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread
import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gnomon.config import Settings
from gnomon.errors import DependencyError, GnomonError, InputError
from gnomon.operations import Readiness, WebMetrics
from gnomon.store import MOST_DIFFERENCES, Cohort, Opener, Selection, Store
from gnomon.summary import Sample, Verdict
from gnomon.verdict import explain_absence, judge_canary, judge_store
from gnomon.web.answers import Alerts, Differences, Endpoints, Fields, Problem, StoredComparison, StoredRequest
from gnomon.web.guard import Guard
from gnomon.web.openapi import describe
from gnomon.web.parameters import (
    AlertsAsked,
    BadRequestError,
    DifferencesAsked,
    ListAsked,
    NothingAsked,
    PeriodAsked,
    VerdictAsked,
    canary_of,
    cohort_of,
    period_of,
    read_flagger,
    read_query,
    select,
)
from gnomon.web.patience import Patience, TooLongError

__all__ = ["create_app"]

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]

AT_ONCE: Final = 4
"""Questions that the store answers side by side; more wait."""

PATIENCE_SECONDS: Final = 30.0
"""After this a question is given up."""

MOST_BODY: Final = 64 * 1024
MOST_ANSWER: Final = 8 * 2**20
"""Bytes of what is told of one request."""
MOST_ID: Final = 256
RATES_WINDOW: Final = timedelta(hours=1)
RATES_KEPT: Final = timedelta(seconds=15)


class UnknownNameError(Exception):
    """A service or a target that nothing that landed has."""


class Api:
    """What the routes do.

    Args:
        find: Says where the store or the database is; it is opened for each question, so that others can write
            between, and may come to be later.
        settings: The limits of verdicts.
        clock: The time.
    """

    def __init__(self, find: Callable[[], Path], settings: Settings, clock: Callable[[], datetime]) -> None:
        self._find = find
        self._settings = settings
        self._clock = clock
        self._limiter: anyio.CapacityLimiter | None = None
        self._opener = Opener()
        self._asked: set[Patience] = set()
        self._readiness = Readiness(["store"])
        self.metrics = WebMetrics(self._readiness)
        self._rates_at: datetime | None = None

    async def verdict(self, request: Request) -> Response:
        """Pass, fail or undecided."""
        asked = read_query(request.query_params.multi_items(), VerdictAsked)
        now, limits = self._clock(), self._settings.verdict
        selection, cohort = select(asked, now), cohort_of(asked, now)
        canary = canary_of(asked)

        def judge(store: Store, patience: Patience) -> Verdict:
            if canary is None:
                judged = judge_store(store, selection, limits, cohort, patience.check)
            else:
                judged = judge_canary(store, selection, limits, canary, patience.check)
            return explain_absence(store, selection, judged, cohort, canary or ()).verdict

        return _json(await self._ask(judge))

    async def summary(self, request: Request) -> Response:
        """All that is selected in one line."""
        selection = self._selection(request, PeriodAsked)
        return _json(await self._ask(_about(selection, lambda store: store.summary(selection))))

    async def endpoints(self, request: Request) -> Response:
        """Endpoints by divergence rate."""
        asked = read_query(request.query_params.multi_items(), ListAsked)
        selection = select(asked, self._clock())
        found = await self._ask(_about(selection, lambda store: store.endpoints(selection)))
        return _json(Endpoints(found[: asked.limit], len(found) > asked.limit))

    async def fields(self, request: Request) -> Response:
        """Field patterns by severity and frequency."""
        asked = read_query(request.query_params.multi_items(), ListAsked)
        selection = select(asked, self._clock())
        found = await self._ask(_about(selection, lambda store: store.fields(selection)))
        return _json(Fields(found[: asked.limit], len(found) > asked.limit))

    async def differences(self, request: Request) -> Response:
        """Single differences, the newest first."""
        asked = read_query(request.query_params.multi_items(), DifferencesAsked)
        selection = select(asked, self._clock())
        choice = msgspec.structs.replace(asked.choice(), limit=asked.limit + 1)
        found = await self._ask(_about(selection, lambda store: store.differences(selection, choice)))
        return _json(Differences(found[: asked.limit], len(found) > asked.limit))

    async def comparison(self, request: Request) -> Response:
        """All that is stored of one request."""
        read_query(request.query_params.multi_items(), NothingAsked)
        request_id = str(request.path_params["request_id"])
        if "\x00" in request_id or len(request_id) > MOST_ID:
            return _problem(404, "nothing is stored under this request id")
        found = await self._ask(lambda store, _: store.request(request_id))
        if not found:
            return _problem(404, "nothing is stored under this request id")
        return _json(_bounded(request_id, found))

    async def alerts(self, request: Request) -> Response:
        """The last word on each alert."""
        asked = read_query(request.query_params.multi_items(), AlertsAsked)
        selection = select(asked, self._clock())
        found = await self._ask(lambda store, _: store.alerts(selection, state=asked.state, limit=asked.limit + 1))
        return _json(Alerts(found[: asked.limit], len(found) > asked.limit))

    async def flagger(self, request: Request) -> Response:
        """A gate: 200 to go on, 409 to halt; the body is the verdict."""
        read_query(request.query_params.multi_items(), NothingAsked)
        call = read_flagger(await _body(request))
        selection = select(period_of(call), self._clock())
        limits = self._settings.verdict

        def judge(store: Store, patience: Patience) -> Verdict:
            judged = judge_store(store, selection, limits, pulse=patience.check)
            return explain_absence(store, selection, judged, Cohort()).verdict

        found = await self._ask(judge)
        goes = found.verdict == "pass" or (found.verdict == "undecided" and call.asked.get("undecided", "halt") == "go")
        return _json(found, 200 if goes else 409)

    async def exposition(self, request: Request) -> Response:
        """Metrics of this process, and the rates of the last hour."""
        read_query(request.query_params.multi_items(), NothingAsked)
        now = self._clock()
        if self._rates_at is None or now - self._rates_at >= RATES_KEPT:
            try:
                rates = await self._ask(lambda store, _: store.rates(Selection(since=now - RATES_WINDOW)))
            except (GnomonError, TooLongError):
                rates = []  # the readiness says why; the process has its own metrics all the same
            self.metrics.rates({(rate.service, rate.target): msgspec.structs.asdict(rate) for rate in rates})
            self._rates_at = now
        return Response(self.metrics.exposition(), headers={"content-type": CONTENT_TYPE_LATEST})

    async def alive(self, _: Request) -> Response:
        """The process lives."""
        return _json({"status": "ok"})

    async def ready(self, _: Request) -> Response:
        """Whether the store can be read."""
        with suppress(GnomonError, TooLongError):
            await self._ask(lambda store, _: store.rules(""))
        reasons = self._readiness.reasons
        # Anybody may ask this, so paths and names of processes stay inside
        return _json(
            {"ready": not reasons, "reasons": dict.fromkeys(reasons, "cannot be read")}, 503 if reasons else 200
        )

    async def openapi(self, request: Request) -> Response:
        """This interface as OpenAPI."""
        read_query(request.query_params.multi_items(), NothingAsked)
        return _json(describe())

    def _selection(self, request: Request, kind: type[PeriodAsked]) -> Selection:
        return select(read_query(request.query_params.multi_items(), kind), self._clock())

    async def _ask(self, question: Callable[[Store, Patience], T]) -> T:
        """Ask the store in another thread; not longer than there is patience, waiting for others included."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(AT_ONCE)
        patience = Patience(PATIENCE_SECONDS)
        self._asked.add(patience)
        try:
            # A thread cannot be stopped: it is left alone where it does not give up by itself.
            with anyio.fail_after(PATIENCE_SECONDS + 1):
                found = await anyio.to_thread.run_sync(
                    lambda: self._answer(question, patience), limiter=self._limiter, abandon_on_cancel=True
                )
        except TimeoutError as error:
            raise TooLongError from error
        except (DependencyError, InputError) as error:
            self._readiness.not_ready("store", str(error))
            raise
        finally:
            patience.end()
            self._asked.discard(patience)
        self._readiness.ready("store")
        return found

    def _answer(self, question: Callable[[Store, Patience], T], patience: Patience) -> T:
        patience.check()
        with self._opener.open(self._find()) as store, patience.watching(store):
            try:
                return question(store, patience)
            except GnomonError as error:
                if patience.is_over:
                    raise TooLongError from error
                raise

    def give_up(self) -> None:
        """End all questions that are being answered: nobody waits for them any more."""
        for patience in list(self._asked):
            patience.end()


def _about(selection: Selection, question: Callable[[Store], T]) -> Callable[[Store, Patience], T]:
    """Ask only about a service and a target that there are."""

    def asked(store: Store, _: Patience) -> T:
        unknown = store.unknown_name(selection)
        if unknown is not None:
            raise UnknownNameError(str(unknown))
        return question(store)

    return asked


def create_app(
    find: Callable[[], Path], settings: Settings, *, token: str | None, clock: Callable[[], datetime]
) -> Starlette:
    """Make the application.

    Args:
        find: Says where the store or the database is, at each question.
        settings: The limits of verdicts.
        token: What callers must show; None where that is not needed.
        clock: The time.
    """
    api = Api(find, settings, clock)
    routes: Sequence[tuple[str, Handler, str]] = (
        ("/api/verdict", api.verdict, "GET"),
        ("/api/summary", api.summary, "GET"),
        ("/api/endpoints", api.endpoints, "GET"),
        ("/api/fields", api.fields, "GET"),
        ("/api/differences", api.differences, "GET"),
        ("/api/comparisons/{request_id:path}", api.comparison, "GET"),
        ("/api/alerts", api.alerts, "GET"),
        ("/hooks/flagger", api.flagger, "POST"),
        ("/metrics", api.exposition, "GET"),
        ("/healthz", api.alive, "GET"),
        ("/readyz", api.ready, "GET"),
        ("/openapi.json", api.openapi, "GET"),
    )
    app = Starlette(
        routes=[
            Route(path, _counted(path, handler, api.metrics), methods=[method]) for path, handler, method in routes
        ],
        middleware=[Middleware(Guard, token=token)],
        exception_handlers={HTTPException: _not_found, Exception: _our_bug},
    )
    app.state.give_up = api.give_up
    return app


def _counted(path: str, handler: Handler, metrics: WebMetrics) -> Handler:
    """Turn errors into answers, and count them by the route, never by what was asked for."""
    route = path.partition("{")[0]

    async def answer(request: Request) -> Response:
        with metrics.seconds.labels(route).time():
            try:
                response = await handler(request)
            except BadRequestError as error:
                response = _problem(400, error.sentence, error.parameter)
            except UnknownNameError as error:
                response = _problem(404, str(error))
            except TooLongError:
                response = _problem(503, f"no answer within {PATIENCE_SECONDS:.0f} s; ask for a shorter period")
            except (DependencyError, InputError) as error:
                response = _problem(503, str(error))
            except Exception:
                metrics.requests.labels(route, "500").inc()
                raise
        metrics.requests.labels(route, str(response.status_code)).inc()
        return response

    return answer


def _bounded(request_id: str, samples: Sequence[Sample]) -> StoredRequest:
    """As many comparisons as there is room for, without their exchanges where these are too large."""
    room = MOST_ANSWER
    stored, more = [], sum(len(sample.differences) for sample in samples) >= MOST_DIFFERENCES
    for sample in samples:
        whole = StoredComparison(**msgspec.structs.asdict(sample))
        bare = msgspec.structs.replace(whole, live=None, shadow=None, control=None)
        least = msgspec.structs.replace(bare, differences=[])
        for one in (whole, bare, least):
            size = len(msgspec.json.encode(one))
            if size <= room:
                room -= size
                stored.append(one)
                break
        more = more or not stored or stored[-1] is not whole
    return StoredRequest(request_id, stored, more)


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BODY:
            raise BadRequestError(f"the body is larger than {MOST_BODY} bytes")
    return body


async def _not_found(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    sentence = {404: "there is nothing at this path; /openapi.json says what there is", 405: "not with this method"}
    response = _problem(status, sentence.get(status, "this cannot be answered"))
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


async def _our_bug(_: Request, _error: Exception) -> Response:
    return _problem(500, "this is a bug of ours; the log has more")


def _problem(status: int, sentence: str, parameter: str | None = None) -> Response:
    response = _json(Problem(sentence, parameter), status)
    if status == 503:
        response.headers["retry-after"] = "5"
    return response


def _json(value: Any, status: int = 200) -> Response:  # noqa: ANN401 - whatever has a JSON form
    return Response(msgspec.json.encode(value) + b"\n", status, media_type="application/json")
