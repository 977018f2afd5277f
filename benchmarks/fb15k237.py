"""FB15k-237 link prediction: `roots kg train`, then `roots kg evaluate` on the test set.

python benchmarks/fb15k237.py --data DIR
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from common import arguments, report, roots

TRAINING = "training, CPU s (whole process)"
REFERENCES = (
    ("LibKGE's tuned TransE (published)", 0.313, ""),
    ("PyKEEN's default TransE (an earlier measurement on two cores)", 0.235, "140"),
)


def main() -> None:
    options = arguments(__doc__, data="kg/FB15k-237")
    folder = options.data / "kg" / "FB15k-237"
    config = Path(__file__).resolve().parent.parent / "configs" / "transe_fb15k237.yaml"
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch) / "bundle"
        trained = roots("kg", "train", folder / "train.txt", "--config", config, "--out", bundle)
        judged = roots(
            "kg", "evaluate", bundle, "--test", folder / "test.txt", "--filter", folder / "valid.txt"
        )
    metrics = judged.result["metrics"]
    rows = [
        {
            "model": "roots kg train",
            "MRR": f"{metrics['mrr']:.4f}",
            **{f"Hits@{k}": f"{metrics[f'hits_at_{k}']:.4f}" for k in (1, 3, 10)},
            TRAINING: f"{trained.cpu_seconds:.0f}",
            "evaluation, CPU s (whole process)": f"{judged.cpu_seconds:.0f}",
        }
    ]
    for name, mrr, seconds in REFERENCES:
        rows.append(dict.fromkeys(rows[0], "") | {"model": name, "MRR": mrr, TRAINING: seconds})
    counts = f"{judged.result['n']:,} test triples, {judged.result['unknown']} with something unknown"
    report(f"FB15k-237, filtered; {counts}", rows, options.json)


if __name__ == "__main__":
    main()
