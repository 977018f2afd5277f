"""`roots serve`: a model behind HTTP, and a page."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import Annotated

import typer

from roots_kg.cli.code import TaskCodeOption, trust_code_of
from roots_kg.cli.output import BlockListOption, KnowledgeOption, PrecisionOption, ProjectOption
from roots_kg.errors import DataError, UsageError

SHORTEST_KEY = 16
BACKLOG = 512
KERNELS_KEPT = "64"
"""How many compiled products of matrices oneDNN keeps; each shape of a batch needs its own, in memory."""


def serve(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A folder that `roots adapt` wrote, or a pretrained name."),
    ],
    host: Annotated[
        str, typer.Option(help="The address to listen on; any but this computer's own needs --api-key-file.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 8000,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            help=f"A file with a key of at least {SHORTEST_KEY} characters, which clients must send."
        ),
    ] = None,
    allow_edits: Annotated[
        bool, typer.Option("--allow-edits", help="Let clients add triples and remove them, until it stops.")
    ] = False,
    max_batch: Annotated[int, typer.Option(min=1, help="The most texts that the model reads at once.")] = 32,
    timeout: Annotated[float, typer.Option(help="The most seconds that a request may take.")] = 30.0,
    threads: Annotated[int, typer.Option(min=1, help="Threads that the model computes with.")] = 1,
    knowledge: KnowledgeOption = None,
    project_knowledge: ProjectOption = False,
    precision: PrecisionOption = None,
    block_list: BlockListOption = None,
    task_code: TaskCodeOption = None,
) -> None:
    """Serve a model over HTTP, and a page that shows what it does.

    /openapi.json describes the interface, /metrics is for Prometheus. One line of JSON a request goes to
    standard error, without the texts. Ctrl-C and SIGTERM let what has begun be finished.

    Example: roots serve runs/routing
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KERNELS_KEPT)
    key = None if api_key_file is None else _key(api_key_file)
    local = _is_local(host)
    if not local and key is None:
        raise UsageError(
            f"{host} can be reached by others", hint="give --api-key-file, or listen on 127.0.0.1"
        )
    try:
        import uvicorn

        from roots_kg.serve import LOCAL_HOSTS, ServeConfig, make_app
    except ImportError as error:
        raise UsageError(
            f"serving needs {error.name}, which is not installed", hint="pip install 'roots-kg[serve]'"
        ) from error
    from roots_kg.encoding.decoding.block_list import BlockList, read_block_list
    from roots_kg.model import RootsModel
    from roots_kg.serve.service import Service
    from roots_kg.threads import some_threads

    config = ServeConfig(
        api_key=key,
        hosts=LOCAL_HOSTS if local and key is None else ("*",),
        allow_edits=allow_edits,
        max_batch=max_batch,
        timeout=timeout,
    )
    blocked = None if block_list is None else BlockList(read_block_list(block_list))
    with _listen(host, port) as listening, some_threads(threads):
        trust_code_of(task_code, Path(model))
        loaded = RootsModel.from_pretrained(
            model, knowledge=knowledge, project=project_knowledge, precision=precision
        )
        if blocked is not None:
            loaded.obey([blocked])
        service = Service(loaded, Path(model).resolve().name)
        service.warm_up()
        address = f"[{host}]" if ":" in host else host
        print(f"http://{address}:{listening.getsockname()[1]}/ serves {model}; Ctrl-C stops it", flush=True)
        settings = uvicorn.Config(
            make_app(service, config),
            log_config=_LOGGING,
            access_log=False,
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=int(timeout) + 1,
            limit_concurrency=BACKLOG,
        )
        uvicorn.Server(settings).run(sockets=[listening])


_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(message)s"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stderr"}
    },
    "loggers": {
        "roots_kg.serve": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "uvicorn": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
    },
}


def _key(path: Path) -> str:
    """Read an API key."""
    try:
        key = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the API key cannot be read: {error}", path=path) from error
    if len(key) < SHORTEST_KEY or not key.isprintable() or " " in key:
        raise DataError(
            f"an API key is one line of at least {SHORTEST_KEY} printable characters without spaces",
            path=path,
            hint="such as from: python -c 'import secrets; print(secrets.token_urlsafe())'",
        )
    return key


def _is_local(host: str) -> bool:
    """Tell whether an address can be reached from this computer alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UsageError: if the address is not this computer's, or is taken.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"cannot listen on {host}, port {port}: {getattr(error, 'strerror', None) or error}",
            hint="--port 0 takes a port that is free",
        ) from error
