"""A fusion layer trained on texts made from the graph beside an untrained one, with controls.

region_routing at 1, 2 and 5 examples a team, with places that no example names; TREC and SST-2 at 10 examples
a class, with the geography graph attached, which can tell nothing there and must not hurt. "With unlabelled
tickets" gives the layer the texts of the routing task's training examples to learn from, but no label.

    python benchmarks/fusion.py --data DIR
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from common import arguments, mean_and_spread, report, roots

from roots_kg import GraphBundle, RootsModel, Task
from roots_kg.adaptation.task import Record, read_records
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.evaluation.remembering import RememberingEncoder
from roots_kg.fusion.store import load_fusion

ROOT = Path(__file__).resolve().parent.parent
SEEDS = range(10)
CONTROL_SHOTS = 10

Make = Callable[[], RootsModel]


def main() -> None:
    options = arguments(__doc__, data="trec")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        roots("kg", "train", ROOT / "knowledge" / "geography", "--out", folder / "graph")
        config = ("--config", ROOT / "configs" / "fusion.yaml", "--knowledge", folder / "graph")
        trained = roots("train", *config, "--out", folder / "fusion")
        routing = Task.load(ROOT / "tasks" / "region_routing")
        assert routing.train is not None
        lines = [record.text("text") for record in read_records(routing.train)]
        (folder / "lines.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        roots("train", *config, "--text", folder / "lines.txt", "--out", folder / "with-lines")
        graph = GraphBundle.load(folder / "graph")
        layers = [load_fusion(folder / name) for name in ("fusion", "with-lines")]
    encoder = TextEncoder.from_pretrained()
    models: dict[str, Make] = {
        "text only": lambda: RootsModel(encoder),
        "graph, untrained fusion": lambda: RootsModel(encoder, graph),
        "graph, trained fusion": lambda: RootsModel(encoder, graph, fusion=layers[0]),
        "the same, with unlabelled tickets": lambda: RootsModel(encoder, graph, fusion=layers[1]),
    }
    assert routing.test is not None
    train, test = read_records(routing.train), read_records(routing.test)
    controls = [(name, *read(options.data)) for name, read in (("TREC", read_trec), ("SST-2", read_sst2))]
    rows = []
    for name, make in models.items():
        row = {"model": name}
        for shots, found in zip((1, 2, 5), _accuracies(make(), routing, train, test, (1, 2, 5)), strict=True):
            row[f"routing, {shots}-shot"] = mean_and_spread(found)
        for title, examples, judged in controls:
            (found,) = _accuracies(make(), Task(title, "classification"), examples, judged, (CONTROL_SHOTS,))
            row[f"{title}, {CONTROL_SHOTS}-shot"] = mean_and_spread(found)
        rows.append(row)
    seconds = trained.result["seconds"]["cpu"]
    report(f"accuracy over {len(SEEDS)} draws; training took {seconds:.0f} CPU seconds", rows, options.json)


def _accuracies(
    model: RootsModel,
    task: Task,
    train: Sequence[Record],
    test: Sequence[Record],
    shots: Sequence[int],
) -> list[list[float]]:
    model.layers = RememberingEncoder(model.layers).eval()
    found = []
    for count in shots:
        accuracies = []
        for seed in SEEDS:
            model.adapt(task, train, shots=count, seed=seed)
            accuracies.append(model.evaluate(test).metrics["accuracy"])
        found.append(accuracies)
    return found


def read_trec(data: Path) -> tuple[list[Record], list[Record]]:
    def read(name: str) -> list[Record]:
        path = data / "trec" / name
        lines = path.read_text(encoding="latin-1").splitlines()
        split = [line.split(" ", 1) for line in lines]
        return [
            Record({"text": text, "label": label.split(":")[0]}, path, number)
            for number, (label, text) in enumerate(split, start=1)
        ]

    return read("TREC.train"), read("TREC.test")


def read_sst2(data: Path) -> tuple[list[Record], list[Record]]:
    def read(name: str) -> list[Record]:
        path = data / "sst2" / name
        lines = path.read_text(encoding="latin-1").splitlines()
        names = {"0": "negative", "1": "positive"}
        return [
            Record({"text": line[2:], "label": names[line[0]]}, path, number)
            for number, line in enumerate(lines, start=1)
        ]

    return read("stsa.binary.train"), read("stsa.binary.test")


if __name__ == "__main__":
    main()
