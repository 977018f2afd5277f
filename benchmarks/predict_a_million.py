"""A million texts through `roots predict --output`: its rate, and its memory while it runs; on Linux.

The texts are the bundled tickets, in which the place is replaced by any entity of the bundled graph: of a
million, about half are distinct. The model has that graph. Its encoder has the tokenizer of roots-base and
random weights in two small blocks: the question is what a line costs beside the encoder, and whether memory
grows. Every answer is compared with its line. Beside the command: the same texts through the encoder alone.

    python benchmarks/predict_a_million.py [--lines 1000000] [--encoder small|roots-base] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from common import report, roots

from roots_kg import GraphBundle, KnowledgeGraph
from roots_kg.encoding.encoder_store import save_encoder
from roots_kg.encoding.hybrid import HybridEncoder
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.encoding.transformer import Transformer, TransformerConfig
from roots_kg.graph.linking import Linker
from roots_kg.model import TEXTS_AT_A_TIME

ROOT = Path(__file__).resolve().parent.parent
TASK = ROOT / "tasks" / "region_routing"
SHARES = (0.01, 0.25, 0.5, 0.75, 1.0)
ENCODER_LINES = 20_000
SECONDS_BETWEEN = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--encoder", choices=("small", "roots-base"), default="small")
    parser.add_argument("--out", type=Path, help="keep what was predicted in this file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        encoder = TextEncoder.from_pretrained()
        if options.encoder == "small":
            encoder = _small(encoder)
            save_encoder(encoder, folder / "encoder")
        chosen = folder / "encoder" if options.encoder == "small" else options.encoder
        roots("kg", "train", ROOT / "knowledge" / "geography", "--epochs", 2, "--out", folder / "graph")
        given = ("--shots", 5, "--knowledge", folder / "graph", "--encoder", chosen)
        roots("adapt", TASK, *given, "--out", folder / "model")
        source, target = folder / "texts.jsonl", options.out or folder / "answers" / "answers.jsonl"
        distinct = _write(source, options.lines, GraphBundle.load(folder / "graph").graph)
        seen = _watched(folder / "model", source, target)
        _check(source, target)
        alone = _alone(encoder, source)
    rate = options.lines / seen[-1].cpu_seconds
    row = {
        "encoder": options.encoder,
        "lines": f"{options.lines:,}",
        "distinct": f"{distinct:,}",
        "minutes": f"{seen[-1].seconds / 60:.1f}",
        "lines a CPU second": f"{rate:,.0f}",
        **{f"MB at {share:.0%}": f"{_memory(seen, share * options.lines):.0f}" for share in SHARES},
        "encoder alone": f"{alone:,.0f}",
        "its share of the time": f"{rate / alone:.0%}",
    }
    report("roots predict with a graph, one thread; all answers there, in order", [row], options.json)


@dataclass(frozen=True)
class _Sample:
    """What was seen of the command at one moment.

    Args:
        seconds: since it began to predict.
        cpu_seconds: that it has spent since then.
        written: the lines that it had written.
        memory: its resident set, in MB.
    """

    seconds: float
    cpu_seconds: float
    written: int
    memory: float


def _small(pretrained: TextEncoder) -> TextEncoder:
    """Return an encoder with random weights and the tokenizer of another."""
    torch.manual_seed(0)
    shape = TransformerConfig(
        vocab_size=pretrained.tokenizer.vocab_size,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        intermediate_size=64,
        max_positions=pretrained.tokenizer.max_length,
    )
    return TextEncoder(HybridEncoder(Transformer(shape)), pretrained.tokenizer).requires_grad_(False).eval()


def _write(path: Path, lines: int, graph: KnowledgeGraph) -> int:
    """Write tickets about places of the graph; return how many are distinct."""
    tickets = [
        json.loads(line)["text"]
        for split in ("train", "test")
        for line in (TASK / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    places = [mention.best for (mention, *_) in Linker(graph).link_all(tickets)]
    around = [
        (ticket[: place.start], ticket[place.end :]) for ticket, place in zip(tickets, places, strict=True)
    ]
    names = [graph.name(entity) for entity in range(graph.num_entities)]
    chance, distinct = random.Random(0), set()
    with path.open("w", encoding="utf-8") as stream:
        for _ in range(lines):
            before, after = chance.choice(around)
            text = f"{before}{chance.choice(names)}{after}"
            distinct.add(hash(text))
            stream.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    return len(distinct)


def _watched(model: Path, source: Path, target: Path) -> list[_Sample]:
    """Run the command, and look at it until it is done.

    While it predicts, it writes to a hidden file beside the target.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "roots_kg", "predict", model, "--input", source, "--output", target]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL) as process:
        while not (beside := list(target.parent.glob(f".{target.name}.*"))) and process.poll() is None:
            time.sleep(0.01)
        if not beside:
            raise SystemExit("roots predict ended before it predicted")
        begun, written, samples = time.perf_counter(), 0, []
        spent = _usage(process.pid)[0]
        with beside[0].open("rb") as stream:
            while beside[0].exists() and process.poll() is None:
                cpu_seconds, memory = _usage(process.pid)
                written += sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
                samples.append(_Sample(time.perf_counter() - begun, cpu_seconds - spent, written, memory))
                time.sleep(SECONDS_BETWEEN)
    if process.returncode:
        raise SystemExit(f"roots predict ended with {process.returncode}")
    return samples


def _usage(process: int) -> tuple[float, float]:
    """Return the CPU seconds that a process has spent, and its resident set in MB; see proc_pid_stat(5)."""
    numbers = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    ticks, pages = int(numbers[11]) + int(numbers[12]), int(numbers[21])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _memory(samples: Sequence[_Sample], lines: float) -> float:
    """Return the memory when so many lines were written, or when the command was last seen."""
    return next((sample.memory for sample in samples if sample.written >= lines), samples[-1].memory)


def _check(source: Path, target: Path) -> None:
    """Fail unless there is an answer for each line, in the order of the lines."""
    with source.open(encoding="utf-8") as texts, target.open(encoding="utf-8") as answers:
        for number, (text, answer) in enumerate(zip(texts, answers, strict=True), start=1):
            if json.loads(text)["text"] != json.loads(answer)["text"]:
                raise SystemExit(f"{target}:{number}: this is not the answer to {text.strip()}")


def _alone(encoder: TextEncoder, source: Path) -> float:
    """Return how many texts a CPU second are tokenized and read by the encoder, and nothing else."""
    with source.open(encoding="utf-8") as stream:
        texts = [json.loads(line)["text"] for line in islice(stream, ENCODER_LINES)]
    begun = time.process_time()
    with torch.no_grad():
        for start in range(0, len(texts), TEXTS_AT_A_TIME):
            for _ in encoder.hidden_states(texts[start : start + TEXTS_AT_A_TIME]):
                pass
    return len(texts) / (time.process_time() - begun)


if __name__ == "__main__":
    main()
