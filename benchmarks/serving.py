"""`roots serve`, many clients against one: the bundled routing task with its graph, on loopback.

One client and 32 take turns; each sends a text, waits for the answer, and sends the next. Server and clients
are processes of one machine, whose processors they share.

    python benchmarks/serving.py MODEL [--seconds 5] [--pairs 5] [--clients 32]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from common import report

TEXTS = Path(__file__).resolve().parents[1] / "tasks" / "region_routing" / "test.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a folder that `roots adapt region_routing` wrote")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    texts = [json.loads(line)["text"] for line in TEXTS.read_text(encoding="utf-8").splitlines()]
    found: dict[int, list[tuple[float, list[float]]]] = {1: [], options.clients: []}
    with server(options.model) as port:
        asyncio.run(load(port, texts, 1, 1.0))
        for _ in range(options.pairs):
            for clients, runs in found.items():
                runs.append(asyncio.run(load(port, texts, clients, options.seconds)))
    ratios = [many / one for (one, _), (many, _) in zip(*found.values(), strict=True)]
    rows = []
    for clients, runs in found.items():
        times = sorted(seconds for _, spent in runs for seconds in spent)
        rows.append(
            {
                "clients": clients,
                "texts a second": f"{statistics.median(rate for rate, _ in runs):.0f}",
                "median, ms": f"{1000 * times[len(times) // 2]:.1f}",
                "p95, ms": f"{1000 * times[int(0.95 * len(times))]:.1f}",
                "against one client": "1"
                if clients == 1
                else f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})",
            }
        )
    report("roots serve on loopback", rows, options.json)


@contextmanager
def server(model: str) -> Iterator[int]:
    """Start a server, and give its port."""
    command = [sys.executable, "-m", "roots_kg", "serve", model, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield int(line.split()[0].rstrip("/").rsplit(":", 1)[1])
        finally:
            process.terminate()


async def load(port: int, texts: list[str], clients: int, seconds: float) -> tuple[float, list[float]]:
    """Return texts a second, and the seconds of each request."""
    numbers, spent, begun = count(), [], time.perf_counter()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() - begun < seconds:
            body = json.dumps({"texts": [texts[next(numbers) % len(texts)]]}).encode()
            started = time.perf_counter()
            lines = ("POST /predict HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json")
            head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
            writer.write(head.encode() + body)
            told = await reader.readuntil(b"\r\n\r\n")
            assert told.startswith(b"HTTP/1.1 200"), told
            length = next(line for line in told.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            spent.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return len(spent) / (time.perf_counter() - begun), spent


if __name__ == "__main__":
    main()
