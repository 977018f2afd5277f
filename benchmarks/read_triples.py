"""Tab-separated triples to ids: ours, pyarrow's dictionary encoding, and PyKEEN's `TriplesFactory.from_path`.

Ten million triples over two million entities (drawn evenly, named like Wikidata's items) and 200 relations,
from a fixed seed. Ours also reads the same file with bad lines put in, and must report each with its number.
Each side has a process of its own; memory is the most that the process ever held.

    python benchmarks/read_triples.py [--triples N] [--entities N] [--json]
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import report

RELATIONS, SEED, CHUNK = 200, 0, 500_000
BAD_LINES = (
    b"Q1\tP1\n",
    b"Q1\tP1\tQ2\tQ3\n",
    b"Q1\t\tQ2\n",
    b"Q1\tP1\tQ\xff\n",
    b"Q1\tP1\tQ\x002\n",
    b"\tP1\tQ2\n",
)
BAD_EVERY = 10_007


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--triples", type=int, default=10_000_000)
    parser.add_argument("--entities", type=int, default=2_000_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)  # for the process of one side: side, file
    options = parser.parse_args()
    if options.only:
        print(json.dumps(SIDES[options.only[0]](Path(options.only[1]))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        clean, spoilt = Path(scratch) / "triples.tsv", Path(scratch) / "spoilt.tsv"
        generate(clean, options.triples, options.entities)
        inserted = spoil(clean, spoilt)
        rows = [
            row(side, measure(side, spoilt if side == OURS_SPOILT else clean), inserted) for side in SIDES
        ]
    ours, pykeen = rows[0], rows[-1]
    for column in (CPU, MEMORY):
        times = float(pykeen[column]) / float(ours[column])
        pykeen[column] = f"{pykeen[column]} ({times:.1f} times ours)"
    size = f"{options.triples:,} tab-separated triples, {options.entities:,} entities, {RELATIONS} relations"
    report(f"{size}: from a file to ids", rows, options.json)


def generate(path: Path, triples: int, entities: int) -> None:
    """Write a file of triples that is the same every time."""
    random = np.random.default_rng(SEED)
    names = np.array([f"Q{number}" for number in random.permutation(8 * entities)[:entities]])
    with path.open("w", encoding="ascii", newline="\n") as stream:
        for start in range(0, triples, CHUNK):
            count = min(CHUNK, triples - start)
            head, tail = (names[random.integers(0, entities, count)].tolist() for _ in range(2))
            relation = random.integers(0, RELATIONS, count).tolist()
            lines = zip(head, relation, tail, strict=True)
            stream.write("".join([f"{first}\tP{link}\t{second}\n" for first, link, second in lines]))


def spoil(clean: Path, spoilt: Path) -> list[int]:
    """Copy a file with a bad line put in after every so many good ones; return their numbers."""
    inserted = []
    with clean.open("rb") as source, spoilt.open("wb") as target:
        for number, line in enumerate(source):
            target.write(line)
            if number % BAD_EVERY == 0:
                target.write(BAD_LINES[len(inserted) % len(BAD_LINES)])
                inserted.append(number + len(inserted) + 2)
    return inserted


def measure(side: str, path: Path) -> dict[str, Any]:
    """Run one side in a process of its own."""
    command = [sys.executable, __file__, "--only", side, str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def row(side: str, found: dict[str, Any], inserted: list[int]) -> dict[str, str]:
    """Return what is printed of one side."""
    bad = ""
    if found["bad_lines"]:
        right = "all" if found["bad_lines"] == inserted else "not all"
        bad = f"{len(found['bad_lines']):,} of {len(inserted):,}, {right} with the right number"
    return {
        "reader": side,
        CPU: f"{found['cpu']:.1f}",
        "without imports": f"{found['cpu'] - found['import_cpu']:.1f}",
        MEMORY: f"{found['megabytes']:.0f}",
        "beyond imports": f"{found['megabytes'] - found['import_megabytes']:.0f}",
        "triples": f"{found['triples']:,}",
        "entities": f"{found['entities']:,}",
        "bad lines reported": bad,
    }


def ours(path: Path) -> dict[str, Any]:
    from roots_kg.graph.triples import KnowledgeGraph

    imported = _usage()
    graph, notes = KnowledgeGraph.read([path], on_error="quarantine")
    bad = [reject.line for reject in notes.rejects]
    return _result(imported, len(graph) + notes.duplicates, graph.num_entities, bad)


def pyarrow(path: Path) -> dict[str, Any]:
    import pyarrow
    from pyarrow import csv

    imported = _usage()
    names = ["head", "relation", "tail"]
    coded = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    table = csv.read_csv(
        path,
        read_options=csv.ReadOptions(column_names=names, use_threads=False),
        parse_options=csv.ParseOptions(
            delimiter="\t", quote_char=False, invalid_row_handler=lambda _: "skip"
        ),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, coded)),
    ).unify_dictionaries()
    heads, tails = (table.column(name).chunk(0).dictionary for name in ("head", "tail"))
    found = _result(imported, len(table), 0, [])
    return found | {"entities": len(pyarrow.chunked_array([heads, tails]).unique())}


def pykeen(path: Path) -> dict[str, Any]:
    from pykeen.triples import TriplesFactory

    imported = _usage()
    factory = TriplesFactory.from_path(path)
    return _result(imported, factory.num_triples, factory.num_entities, [])


def _usage() -> tuple[float, float]:
    """Return the CPU seconds of this process and the most memory it ever held, in megabytes (Linux only)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")  # `ru_maxrss` would count the parent's
    kibibytes = re.search(r"VmHWM:\s+(\d+)", status)
    return time.process_time(), int(kibibytes[1]) * 1024 / 1e6 if kibibytes else 0.0


def _result(
    imported: tuple[float, float], triples: int, entities: int, bad: list[int | None]
) -> dict[str, Any]:
    cpu, megabytes = _usage()
    return {
        "cpu": cpu,
        "import_cpu": imported[0],
        "megabytes": megabytes,
        "import_megabytes": imported[1],
        "triples": triples,
        "entities": entities,
        "bad_lines": bad,
    }


CPU, MEMORY = "CPU s", "memory, MB"
OURS_SPOILT = "roots, with bad lines in the file"
SIDES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "roots": ours,
    OURS_SPOILT: ours,
    "pyarrow, a dictionary a column": pyarrow,
    "PyKEEN": pykeen,
}

if __name__ == "__main__":
    main()
