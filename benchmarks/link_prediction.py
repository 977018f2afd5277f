"""Link prediction on the public sets: `roots kg train` with the file for each in configs/, then its test set.

python benchmarks/link_prediction.py --data DIR [--only NAME]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from common import report, roots

# Published figures of TransE, by its implementers.
SETS = {
    "FB15k-237": ("transe_fb15k237.yaml", "LibKGE 0.313, AmpliGraph .31, GraphVite 0.288, TorchKGE 0.287"),
    "WN18RR": ("transe_wn18rr.yaml", "LibKGE 0.228, AmpliGraph .22, GraphVite 0.219, TorchKGE 0.236"),
    "WD50K": ("transe_wd50k.yaml", ""),
}
TRAINING = "training, CPU s (whole process)"
RANKING = "ranking, CPU s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder that holds kg/")
    parser.add_argument("--only", choices=SETS, help="one of the sets")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    names = [options.only] if options.only else list(SETS)
    for name in names:
        if not (options.data / "kg" / name).is_dir():
            parser.error(f"{options.data} does not hold kg/{name}; docs/benchmarks.md says where to get it")
    report("Link prediction, filtered", [judged(options.data, name) for name in names], options.json)


def judged(data: Path, name: str) -> dict[str, str]:
    """Train on a set with its own settings and rank its test triples."""
    folder, (settings, published) = data / "kg" / name, SETS[name]
    config = Path(__file__).resolve().parent.parent / "configs" / settings
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch) / "bundle"
        trained = roots("kg", "train", folder / "train.txt", "--config", config, "--out", bundle)
        filters = ("--filter", folder / "valid.txt")
        ranked = roots("kg", "evaluate", bundle, "--test", folder / "test.txt", *filters)
    metrics = ranked.result["metrics"]
    return {
        "set": name,
        "MRR": f"{metrics['mrr']:.4f}",
        **{f"Hits@{k}": f"{metrics[f'hits_at_{k}']:.4f}" for k in (1, 3, 10)},
        TRAINING: f"{trained.cpu_seconds:.0f}",
        RANKING: f"{ranked.result['seconds']['cpu']:.1f}",
        "published MRR": published,
    }


if __name__ == "__main__":
    main()
