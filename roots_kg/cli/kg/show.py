"""`roots kg show`: a picture of the neighbourhood of an entity."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from roots_kg.cli.kg.graphs import (
    AliasesOption,
    FormatOption,
    LanguageOption,
    LiteralsOption,
    OnErrorOption,
    RejectsOption,
    load_bundle,
    read_graphs,
)
from roots_kg.cli.output import JsonOption, print_json
from roots_kg.errors import UsageError

FORMATS = (".html", ".png", ".graphml")
PICTURED, MOST_PICTURED = 60, 1000


def show(
    graph: Annotated[
        list[str],
        typer.Argument(
            metavar="GRAPH...",
            help="Triples files, the name of a folder under knowledge/, or a graph bundle.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The file to write: .html, .png or .graphml. It is replaced.")
    ],
    entity: Annotated[
        list[str] | None, typer.Option(help="The entity in the middle, by key or by name; may be repeated.")
    ] = None,
    hops: Annotated[int, typer.Option(min=0, help="How many edges away to look.")] = 1,
    max_nodes: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"The most entities to show: {PICTURED} in a picture and all in GraphML by default."
        ),
    ] = None,
    aliases: AliasesOption = None,
    format: FormatOption = None,
    on_error: OnErrorOption = "strict",
    rejects: RejectsOption = None,
    literals: LiteralsOption = "values",
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Draw the neighbourhood of an entity: one page for a browser, a picture, or GraphML for other tools.

    The page needs no network and asks for none. Without --entity it shows what lies around the most connected
    entities, and GraphML holds the whole graph. Where not everything fits, relations take turns, and what is
    left out is counted.

    Example: roots kg show geography --entity Austria --out austria.html
    """
    from roots_kg.viz import neighbourhood, whole, write_graphml, write_html, write_png

    kind = out.suffix.lower()
    _check_output(out, kind, max_nodes, graph, [aliases, rejects])
    started = time.perf_counter()
    if any(map(_is_bundle, graph)):
        if len(graph) > 1:
            raise UsageError("a bundle is shown by itself", hint="name one bundle, or triples files")
        if aliases or format or rejects or (on_error, literals, language) != ("strict", "values", "en"):
            raise UsageError("a bundle is read as it is", hint="leave out the options about reading triples")
        loaded = load_bundle(Path(graph[0])).graph
    else:
        loaded, _ = read_graphs(graph, aliases, format, on_error, rejects, literals, language)
    if kind == ".graphml" and not entity and max_nodes is None:
        shown = whole(loaded)
    else:
        limit = max_nodes or (None if kind == ".graphml" else PICTURED)
        shown = neighbourhood(loaded, entity or (), hops=hops, max_nodes=limit)
    {".html": write_html, ".png": write_png, ".graphml": write_graphml}[kind](shown, out)
    if as_json:
        metrics = {
            "entities": len(shown.entities),
            "triples": len(shown.triples),
            "left_out": shown.left_out,
        }
        centres = [loaded.entities[centre] for centre in shown.centres]
        seconds = {"wall": time.perf_counter() - started}
        print_json({"metrics": metrics, "centres": centres, "hops": hops, "out": out, "seconds": seconds})
        return
    print(f"{out}: {shown.title}: {shown.summary}")
    if shown.left_out:
        print("--max-nodes shows more of them; a .graphml file holds them all")


def _check_output(
    out: Path, kind: str, max_nodes: int | None, graphs: Sequence[str], others: Sequence[Path | None]
) -> None:
    """Refuse, before any work, an output that cannot be or must not be written."""
    if kind not in FORMATS:
        hint = f"end its name in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise UsageError(f"unknown kind of file {out.suffix!r}", path=out, hint=hint)
    if kind != ".graphml" and (max_nodes or 0) > MOST_PICTURED:
        hint = "write a .graphml file and open it in a tool for large graphs"
        raise UsageError(f"a picture shows at most {MOST_PICTURED:,} entities", path=out, hint=hint)
    if out.is_dir():
        raise UsageError("this is a folder", path=out, hint="name a file")
    target = out.resolve()
    for name in graphs:
        if _is_bundle(name) and target.is_relative_to(Path(name).resolve()):
            raise UsageError("this lies in the bundle that is being read", path=out, hint="name another file")
    used = [*map(Path, graphs), *(path for path in others if path is not None)]
    if any(target == path.resolve() for path in used):
        raise UsageError("this file has another part in the same command", path=out, hint="name another one")


def _is_bundle(name: str) -> bool:
    return (Path(name) / "config.json").is_file()
