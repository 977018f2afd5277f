"""SetFit on the same trunk: ten CLINC150 intents that are easily confused, five examples each, three draws.

Both sides learn from the same examples and are judged on the same 300 test questions. SetFit trains
all-MiniLM-L6-v2 as its authors recommend (one epoch over the pairs that it makes, a logistic regression on
top) in an environment of its own, which this script is told of. CPU seconds are those from a loaded trunk and
the examples to a model that answers, without the start of the interpreter, on either side.

The intents are those that the training examples say are alike: from the two whose mean vectors are the
closest, each time the one that is closest to the mean of those chosen is taken.

    python benchmarks/few_shot_intents.py --data DIR --python PYTHON_WITH_SETFIT_1.2
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from common import mean_and_spread, parsed, report
from torch.nn import functional

from roots_kg import RootsModel
from roots_kg.adaptation.task import Record, Task
from roots_kg.weights import find_pretrained

INTENTS, SHOTS, SEEDS = 10, 5, (0, 1, 2)

SETFIT = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments

folder, task, seed = sys.argv[1], json.load(open(sys.argv[2])), int(sys.argv[3])
model = SetFitModel.from_pretrained(folder, labels=sorted({line["label"] for line in task["train"]}))
quiet = {"report_to": "none", "save_strategy": "no", "show_progress_bar": False}
settings = TrainingArguments(num_epochs=1, seed=seed, **quiet)
trainer = Trainer(model=model, args=settings, train_dataset=Dataset.from_list(task["train"]))
started = time.process_time()
trainer.train()
seconds = time.process_time() - started
answers = model.predict([line["text"] for line in task["test"]])
right = [str(answer) == line["label"] for answer, line in zip(answers, task["test"])]
print(json.dumps([sum(right) / len(right), seconds]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", type=Path, required=True, help="an interpreter that has SetFit 1.2")
    options = parsed(parser, "clinc150")
    full = json.loads((options.data / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    lines = {
        split: [{"text": text, "label": label} for text, label in full[split]] for split in ("train", "test")
    }
    intents = alike(lines["train"])
    print(", ".join(intents))
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    test = [line for line in lines["test"] if line["label"] in intents]
    for seed in SEEDS:
        draw = random.Random(seed)
        train = [
            line
            for intent in intents
            for line in draw.sample([line for line in lines["train"] if line["label"] == intent], SHOTS)
        ]
        with tempfile.TemporaryDirectory() as scratch:
            ours.append(_ours(train, test))
            theirs.append(_theirs(Path(scratch), options.python, train, test, seed))
    rows = [
        {
            "": name,
            "accuracy": mean_and_spread([accuracy for accuracy, _ in found]),
            "CPU s, mean": f"{sum(seconds for _, seconds in found) / len(found):.2f}",
        }
        for name, found in (("roots adapt", ours), ("SetFit", theirs))
    ]
    ratio = sum(seconds for _, seconds in theirs) / sum(seconds for _, seconds in ours)
    rows[1]["times ours"] = f"{ratio:.0f}"
    rows[0]["times ours"] = "1"
    report("Ten CLINC150 intents, five examples each, three draws", rows, options.json)


def alike(train: list[dict[str, str]]) -> list[str]:
    """Return the intents that are most alike, sorted."""
    names = sorted({line["label"] for line in train})
    vectors = RootsModel.from_pretrained("roots-base").encode([line["text"] for line in train])
    numbers = torch.tensor([names.index(line["label"]) for line in train])
    means = functional.normalize(torch.stack([vectors[numbers == n].mean(dim=0) for n in range(len(names))]))
    cosines = means @ means.T - 2 * torch.eye(len(names))
    chosen = list(divmod(int(cosines.argmax()), len(names)))
    while len(chosen) < INTENTS:
        near = means @ means[chosen].mean(dim=0)
        near[chosen] = -2
        chosen.append(int(near.argmax()))
    return sorted(names[number] for number in chosen)


def _ours(train: list[dict[str, str]], test: list[dict[str, str]]) -> tuple[float, float]:
    model = RootsModel.from_pretrained("roots-base")
    records = {
        name: [Record(line, Path(name), number) for number, line in enumerate(lines, start=1)]
        for name, lines in (("train", train), ("test", test))
    }
    started = time.process_time()
    model.adapt(Task("intents", "classification"), records["train"])
    seconds = time.process_time() - started
    return model.evaluate(records["test"]).metrics["accuracy"], seconds


def _theirs(
    folder: Path, python: Path, train: list[dict[str, str]], test: list[dict[str, str]], seed: int
) -> tuple[float, float]:
    (folder / "task.json").write_text(json.dumps({"train": train, "test": test}), encoding="utf-8")
    (folder / "side.py").write_text(SETFIT, encoding="utf-8")
    done = subprocess.run(
        [python, folder / "side.py", find_pretrained().model.parent, folder / "task.json", str(seed)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    accuracy, seconds = json.loads(done.stdout.strip().splitlines()[-1])
    return accuracy, seconds


if __name__ == "__main__":
    main()
