"""A head that was adapted on one graph, used on another: MetaQA, whose films are split into two halves.

Each half is a graph of its own: the triples of its films, and the questions that they answer, with those of
the answers that are in it. Heads learn from 100 questions on one half and answer the test questions of the
other, beside heads that learned there. "Other ids" is the graph that a head learned on, with its triples in
another order and vectors that were trained anew.

    python benchmarks/transfer.py --data DIR [--sample N]
"""

from __future__ import annotations

import random
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import sha1
from pathlib import Path

from common import arguments, mean_and_spread, report, roots, write_task

from roots_kg import GraphBundle, RootsModel, Task
from roots_kg.encoding.text_encoder import TextEncoder

SEEDS = range(3)
QUESTIONS, HALVES = 100, (0, 1)
Question = dict[str, object]


def main() -> None:
    options = arguments(__doc__, data="metaqa", sample=True)
    folder = options.data / "metaqa"
    lines = (folder / "kb.txt").read_text(encoding="utf-8").splitlines()
    encoder, rows = TextEncoder.from_pretrained(), []
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        parts = {half: [line for line in lines if _half(line.split("|")[0]) == half] for half in HALVES}
        graphs = {half: _graph(part, scratch / f"half{half}") for half, part in parts.items()}
        for hops in (1, 2):
            for half in HALVES:
                other = 1 - half
                random.Random(0).shuffle(shuffled := list(parts[half]))
                again = _graph(shuffled, scratch / f"again{hops}{half}")
                asked = [_questions(folder, hops, "test", parts[each], options.sample) for each in HALVES]
                tasks = [
                    Task.load(
                        write_task(
                            scratch / f"task{hops}{half}{each}",
                            {
                                "name": "metaqa",
                                "head": "answer",
                                "train": "train.jsonl",
                                "test": "test.jsonl",
                            },
                            train=_questions(folder, hops, "dev", parts[each]),
                            test=asked[each],
                        )
                    )
                    for each in HALVES
                ]
                scores: dict[str, list[float]] = defaultdict(list)
                for seed in SEEDS:
                    ours, native = (RootsModel(encoder, graphs[each]) for each in (half, other))
                    ours.adapt(tasks[half], shots=QUESTIONS, seed=seed)
                    native.adapt(tasks[other], shots=QUESTIONS, seed=seed)
                    for title, model, test in (
                        ("its own graph", ours, tasks[half].test),
                        ("other ids", ours.with_graph(again), tasks[half].test),
                        ("the other half", ours.with_graph(graphs[other]), tasks[other].test),
                        ("learned there", native, tasks[other].test),
                    ):
                        assert test is not None
                        scores[title].append(model.evaluate(test).metrics["hits@1"])
                lost = [
                    100 * (there - here)
                    for there, here in zip(scores["learned there"], scores["the other half"], strict=True)
                ]
                rows.append(
                    {
                        "hops": str(hops),
                        "learned on half": str(half),
                        "test questions": f"{len(asked[half]):,} and {len(asked[other]):,}",
                        **{title: mean_and_spread(values) for title, values in scores.items()},
                        "points lost": f"{sum(lost) / len(lost):.1f}",
                    }
                )
    title = f"MetaQA, two halves of the films, Hits@1, {QUESTIONS} labelled questions, {len(SEEDS)} draws"
    report(title, rows, options.json)


def _half(film: str) -> int:
    return int(sha1(film.encode()).hexdigest(), 16) % 2


def _graph(lines: Sequence[str], folder: Path) -> GraphBundle:
    """Write triples, train vectors for them, and return both."""
    file = folder.with_suffix(".txt")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    roots("kg", "train", file, "--epochs", 1, "--out", folder)
    return GraphBundle.load(folder)


def _questions(
    folder: Path, hops: int, split: str, triples: Iterable[str], sample: int | None = None
) -> list[Question]:
    """Return the questions that these triples answer, without the brackets around their topics."""
    beside: dict[str, set[str]] = defaultdict(set)
    for line in triples:
        head, _, tail = line.split("|")
        beside[head].add(tail)
        beside[tail].add(head)
    found: list[Question] = []
    for line in (folder / f"{hops}-hop" / f"qa_{split}.txt").read_text(encoding="utf-8").splitlines():
        text, answers = line.split("\t")
        topic = text[text.index("[") + 1 : text.index("]")]
        reached = {topic}
        for _ in range(hops):
            reached = {other for entity in reached for other in beside.get(entity, ())}
        known = [answer for answer in answers.split("|") if answer in reached]
        if known:
            found.append({"text": text.replace("[", "").replace("]", ""), "answers": known})
    return found if sample is None else found[:: max(1, len(found) // sample)]


if __name__ == "__main__":
    main()
