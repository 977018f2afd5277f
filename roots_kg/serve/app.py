"""The HTTP interface: what it reads, what it answers, and whom it lets in."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import Receive, Scope, Send

from roots_kg import __version__
from roots_kg.errors import GraphError, RootsError
from roots_kg.serve.batching import Batcher, Busy
from roots_kg.serve.config import ServeConfig
from roots_kg.serve.guard import AsciiJSON, Guard, failure
from roots_kg.serve.memory import give_back
from roots_kg.serve.monitoring import Monitoring
from roots_kg.serve.page import page
from roots_kg.serve.service import Service

__all__ = ["make_app"]

AROUND, MOST_AROUND = 40, 400

LOOK_EVERY, WORK_TO_GIVE_BACK = 0.25, 0.5
"""Seconds: how often it is looked at whether so much CPU time was spent that free memory goes back."""

_BEARER = HTTPBearer(auto_error=False, description="The key in the server's `--api-key-file`.")

Name = Annotated[
    str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Texts(_Body):
    texts: list[str | dict[str, Any]] = Field(
        description="Texts, or lines as they stand in an examples file, for tasks about more than one text."
    )


class _Asked(_Texts):
    task: str | None = Field(None, description="Which task, of a model with several; by default all of them.")
    graph: bool = Field(True, description="False answers as if nothing in the texts were in the graph.")


class _Plain(_Body):
    texts: list[str]


class _Edits(_Body):
    add: list[tuple[Name, Name, Name]] = Field([], description="Triples as [head, relation, tail].")
    remove: list[tuple[Name, Name, Name]] = Field([], description="Triples that the graph holds.")


class _Prompt(_Body):
    prompt: str
    max_new_tokens: int = Field(20, ge=1)
    num_beams: int = Field(1, ge=1, le=16)
    sample: bool = False
    temperature: float = Field(1.0, gt=0, le=100)
    top_k: int | None = Field(None, ge=1, le=1_000_000)
    top_p: float = Field(1.0, gt=0, le=1)
    repetition_penalty: float = Field(1.0, ge=0.1, le=10)
    no_repeat_ngram_size: int = Field(0, ge=0, le=100)
    stop: list[Annotated[str, StringConstraints(min_length=1, max_length=100)]] = Field([], max_length=16)
    seed: int | None = Field(None, ge=0, lt=2**63)


class _Failure(BaseModel):
    """What every answer that is not a success says."""

    error: str
    hint: str | None = None


def make_app(service: Service, config: ServeConfig | None = None) -> FastAPI:
    """Return the ASGI application that serves a model.

    Args:
        service: the model.
        config: what it allows.
    """
    config = config or ServeConfig()
    monitoring = Monitoring()
    batcher = Batcher(service.answer, config.max_batch, config.max_waiting, monitoring.batch)
    monitoring.watch(lambda: batcher.waiting)
    streams = asyncio.Semaphore(config.max_streams)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        batcher.start()
        giving_back = asyncio.create_task(_give_back(batcher))
        yield
        giving_back.cancel()
        with suppress(asyncio.CancelledError):
            await giving_back
        await batcher.close()

    failures: dict[int | str, dict[str, Any]] = {
        status: {"model": _Failure, "description": told}
        for status, told in {
            400: "What was asked cannot be answered; the error says why.",
            401: "The API key is missing or is another one.",
            408: "The body took too long to arrive.",
            413: "The body, or the number of texts, is larger than this server takes.",
            422: "The body or a parameter is not of the form that is described here.",
            503: "Too much waits for an answer; come back in a moment.",
            504: "The answer took too long.",
        }.items()
    }
    app = FastAPI(
        title="ROOTS-KG",
        summary="A language model with a knowledge graph: predictions with the triples behind them.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        default_response_class=AsciiJSON,
    )

    def require_key(sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> None:
        if config.api_key is None:
            return
        given = sent.credentials if sent is not None else ""
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), config.api_key.encode()):
            raise HTTPException(401, "an API key is needed", {"WWW-Authenticate": "Bearer"})

    guarded: dict[str, Any] = {"dependencies": [Depends(require_key)], "responses": failures}

    async def ask(kind: tuple[str, str | None, bool], texts: list[Any]) -> list[Any]:
        if len(texts) > config.max_texts:
            raise HTTPException(413, f"{len(texts)} texts; one request takes at most {config.max_texts}")
        return await asyncio.wait_for(batcher.ask(kind, texts), config.timeout)

    @app.post("/predict", tags=["texts"], **guarded)
    async def predict(asked: _Asked) -> Response:
        """Answer texts, with a probability each; of a model with several tasks, for each of them."""
        texts = service.read(asked.texts, asked.task)
        found = await ask(("predict", asked.task, asked.graph), texts)
        names = list(found[0]) if found else []
        rows = {name: [each[name] for each in found] for name in names}
        if len(names) < 2 and (asked.task is not None or len(service.model.heads) == 1):
            return AsciiJSON(jsonable_encoder({"predictions": next(iter(rows.values()), [])}))
        return AsciiJSON(jsonable_encoder({"tasks": rows}))

    @app.post("/explain", tags=["texts"], **guarded)
    async def explain(asked: _Asked) -> Response:
        """Answer texts, with the links in them, the triples that were used and what each was worth."""
        task = asked.task or next(iter(service.model.heads), None)
        texts = service.read(asked.texts, task)
        found = await ask(("explain", task, asked.graph), texts)
        return AsciiJSON(jsonable_encoder({"task": task, "explanations": found}))

    @app.post("/encode", tags=["texts"], **guarded)
    async def encode(asked: _Plain) -> Response:
        """Return the vector of each text, of length 1."""
        texts = service.read_plain(asked.texts)
        return AsciiJSON({"vectors": await ask(("encode", None, True), texts)})

    @app.post("/generate", tags=["texts"], response_class=StreamingResponse, **guarded)
    async def generate(asked: _Prompt) -> Response:
        """Continue a prompt; pieces of text are sent as they are settled, the prompt first."""
        if asked.max_new_tokens > config.max_new_tokens:
            raise HTTPException(400, f"max_new_tokens is at most {config.max_new_tokens} here")
        settings = asked.model_dump(exclude={"prompt"})
        if streams.locked():
            raise Busy("as many texts as this server generates at once are being generated")
        await streams.acquire()
        try:
            pieces = service.stream(asked.prompt, settings)
            first = await asyncio.to_thread(next, pieces, "")
            return _Generated(_pieces(first, pieces, config.timeout), streams)
        except BaseException:
            streams.release()
            raise

    @app.get("/graph/{entity:path}", tags=["graph"], **guarded)
    async def graph(
        entity: str,
        hops: Annotated[int, Query(ge=1, le=3)] = 1,
        limit: Annotated[int, Query(ge=1, le=MOST_AROUND)] = AROUND,
    ) -> Response:
        """Return the entities and triples around an entity, which is named by key or by name."""
        return AsciiJSON(await asyncio.to_thread(service.around, entity, hops, limit))

    if config.allow_edits:

        @app.post("/graph", tags=["graph"], **guarded)
        async def edit(edits: _Edits) -> Response:
            """Remove triples and add others, all of them or none; it lasts as long as the server."""
            done = await batcher.alone(partial(service.edit, edits.add, edits.remove))
            return AsciiJSON(done)

    @app.get("/model", tags=["server"], **guarded)
    async def model() -> Response:
        """Return what the server serves: tasks, labels, and the size of the graph."""
        return AsciiJSON({**service.about(), "edits": config.allow_edits})

    @app.get("/metrics", tags=["server"], **guarded)
    async def metrics() -> Response:
        """Return counts and times for Prometheus."""
        return Response(monitoring.exposition(), media_type=monitoring.media_type)

    @app.get("/health", tags=["server"])
    async def health() -> dict[str, Literal["ok"]]:
        """Tell that the process lives."""
        return {"status": "ok"}

    @app.get("/ready", tags=["server"], responses={503: failures[503]})
    async def ready() -> dict[str, Literal["ready"]]:
        """Tell whether texts are answered."""
        if not batcher.working:
            raise Busy("the server is about to stop")
        return {"status": "ready"}

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        text, policy = page()
        return HTMLResponse(text, headers={"Content-Security-Policy": policy})

    _answer_failures(app)
    app.add_middleware(Guard, config=config, monitoring=monitoring)
    if "*" not in config.hosts:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(config.hosts))
    return app


class _Generated(StreamingResponse):
    """A text as it comes; whatever ends it, its place among those that are generated is free again."""

    def __init__(self, pieces: AsyncIterator[bytes], streams: asyncio.Semaphore) -> None:
        super().__init__(pieces, media_type="text/plain; charset=utf-8")
        self.streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.streams.release()


async def _give_back(batcher: Batcher) -> None:
    """Return free memory to the system, between two batches, whenever the process has worked for a while."""
    before = time.process_time()
    while True:
        await asyncio.sleep(LOOK_EVERY)
        if time.process_time() - before >= WORK_TO_GIVE_BACK:
            await batcher.alone(give_back)
            before = time.process_time()


async def _pieces(first: str, pieces: Iterator[str], timeout: float) -> AsyncIterator[bytes]:
    """Yield pieces of text until they end.

    Raises:
        TimeoutError: if they take too long.
    """
    yield first.encode()
    clock = asyncio.get_running_loop().time
    ends = clock() + timeout
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        if clock() > ends:
            raise TimeoutError
        yield piece.encode()


def _answer_failures(app: FastAPI) -> None:
    """Say in one form what went wrong."""

    @app.exception_handler(RootsError)
    async def expected(request: Request, error: RootsError) -> Response:
        status = 503 if isinstance(error, Busy) else 404 if _unknown_entity(request, error) else 400
        where = "" if error.line is None else f"{error.path}:{error.line}: "
        headers = {"Retry-After": "1"} if status == 503 else None
        return failure(status, where + error.message, error.hint, headers)

    @app.exception_handler(asyncio.TimeoutError)
    async def late(request: Request, error: Exception) -> Response:
        return failure(504, "the answer took too long", "send fewer or shorter texts")

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return failure(422, f"{where}: {first['msg']}", "/openapi.json describes every request")

    @app.exception_handler(AnyHTTPException)
    async def refused(request: Request, error: AnyHTTPException) -> Response:
        cause = error.__cause__
        if error.status_code == 400 and cause is not None:  # what stopped the JSON parser
            reason = "it is nested too deeply" if isinstance(cause, RecursionError) else f"{cause!s:.200}"
            return failure(400, f"the body cannot be read as JSON: {reason}", "/openapi.json describes it")
        return failure(error.status_code, str(error.detail), headers=error.headers)


def _unknown_entity(request: Request, error: RootsError) -> bool:
    return isinstance(error, GraphError) and request.method == "GET"
