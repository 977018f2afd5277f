"""Fuzz with atheris: python -m tests.fuzz.run [TARGET ...] [--seconds 30].

Every target is fuzzed in a process of its own, one after another, and a table is printed. What a target was
fed when it failed stays in runs/fuzz, with what it printed; `--replay FILE` feeds it once more.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads would not survive the fork
os.environ.setdefault("HF_HUB_OFFLINE", "1")

FINDINGS = Path("runs") / "fuzz"
SLOWEST = 20  # seconds that one input may take
MOST_MEMORY = 4096  # MiB that a process may have


@dataclass(frozen=True)
class Result:
    """What came of fuzzing a target; `finding` is empty where nothing was found."""

    target: str
    executions: int
    seconds: float
    finding: str

    def row(self):
        return f"{self.target:32} {self.executions:>10,} {self.seconds:>8.0f}  {self.finding or 'nothing'}"


def main(arguments=None):
    """Fuzz, print the table, and return the exit code: 1 after a finding."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all of them")
    parser.add_argument("--seconds", type=int, default=30, help="for each target (default: 30)")
    parser.add_argument(
        "--replay", type=Path, metavar="FILE", help="feed one target this file, without atheris"
    )
    parser.add_argument("--list", action="store_true", help="print the names of the targets")
    asked = parser.parse_args(arguments)
    if asked.seconds < 1:
        parser.error("--seconds must be at least 1")
    if asked.replay is not None and len(asked.targets) != 1:
        parser.error("--replay takes one target")
    targets = load(instrumented=not (asked.list or asked.replay))
    for name in asked.targets:
        if name not in targets:
            parser.error(f"there is no target {name!r}; --list names them")
    if asked.list:
        print("\n".join(targets))
        return 0
    if asked.replay is not None:
        return replay(targets[asked.targets[0]], asked.replay)
    print(f"{'target':32} {'executions':>10} {'seconds':>8}  finding", flush=True)
    found = 0
    for name in asked.targets or targets:
        result = fuzz(name, targets[name], asked.seconds)
        print(result.row(), flush=True)
        found += bool(result.finding)
    return int(bool(found))


def load(*, instrumented):
    """Import the targets, so that atheris sees which lines of the package an input reaches."""
    if instrumented:
        try:
            import atheris
        except ImportError:
            sys.exit("atheris is not installed; it comes with the extra dev, for Linux on x86-64 only")
        with atheris.instrument_imports(include=["roots_kg", "yaml"], enable_loader_override=False):
            from tests.fuzz.targets import TARGETS
    else:
        from tests.fuzz.targets import TARGETS
    import torch

    torch.set_num_threads(1)
    return TARGETS


def replay(build, file):
    from tests.fuzz.targets import try_on

    with tempfile.TemporaryDirectory() as folder:
        accepted = try_on(build(Path(folder)), file.read_bytes())
    print("accepted" if accepted else "refused")
    return 0


def fuzz(name, build, seconds):
    """Fuzz one target in a process of its own."""
    folder = FINDINGS / re.sub(r"\W+", "-", name).strip("-")
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    started = time.monotonic()
    process = os.fork()
    if not process:
        in_child(build, seconds, folder, log)
    _, status = os.waitpid(process, 0)
    return Result(name, *read_log(log, os.waitstatus_to_exitcode(status), time.monotonic() - started))


def in_child(build, seconds, folder, log):
    """Fuzz until the time is up or something is found; this ends the process."""
    import atheris

    from tests.fuzz.mutations import mutated
    from tests.fuzz.targets import try_on

    with log.open("wb") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    with tempfile.TemporaryDirectory() as scratch:
        work, corpus = Path(scratch) / "work", Path(scratch) / "corpus"
        work.mkdir()
        corpus.mkdir()
        target = build(work)
        for example in target.examples:
            (corpus / sha256(example).hexdigest()).write_bytes(example)
        options = [
            f"-max_total_time={seconds}",
            f"-timeout={SLOWEST}",
            f"-rss_limit_mb={MOST_MEMORY}",
            f"-artifact_prefix={folder}/",
            "-print_final_stats=1",
            f"-max_len={max(4096, *map(len, target.examples))}",
        ]

        @atheris.instrument_func
        def feed(content: bytes) -> None:
            try:
                try_on(target, content)
            except BaseException:  # of which libFuzzer does not always keep the input
                (folder / f"raised-{sha256(content).hexdigest()[:16]}").write_bytes(content)
                raise

        def mutate(content: bytes, longest: int, seed: int) -> bytes:
            """Change the form of the bytes, or, where they have none and every other time, any of them."""
            drawn = Random(seed)
            made = mutated(content, drawn) if drawn.random() < 0.5 else None
            return atheris.Mutate(content, longest) if made is None else made[:longest]

        atheris.Setup([sys.argv[0], *options, str(corpus)], feed, custom_mutator=mutate)
        atheris.Fuzz()
    os._exit(0)


def read_log(log, code, seconds):
    """Return the executions, the seconds and the finding that a log tells of."""
    text = log.read_text(encoding="utf-8", errors="replace")
    counts = re.findall(r"^stat::number_of_executed_units:\s*(\d+)|^#(\d+)", text, re.MULTILINE)
    executions = max((int(total or so_far) for total, so_far in counts), default=0)
    if code == 0:
        return executions, seconds, ""
    raised = re.search(r"Uncaught Python exception: ===\s*\n(.*)", text)
    told = raised or re.search(r"ERROR: libFuzzer: (.*)", text)
    return executions, seconds, f"{told[1].strip()[:120] if told else f'exit code {code}'} ({log.parent})"


if __name__ == "__main__":
    sys.exit(main())
