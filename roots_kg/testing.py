"""For authors of task heads: our contract suite, to be run in their own tests.

from roots_kg.testing import check_head

def test_the_head_keeps_the_contract():
    check_head("rating")
"""

from __future__ import annotations

from roots_kg.adaptation.contract import BrokenPromise, Case, Verdict, check
from roots_kg.adaptation.heads.base import Head
from roots_kg.adaptation.sample_tasks import SampleTask
from roots_kg.encoding.interface import Encoder
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.errors import UsageError
from roots_kg.fusion.encoder import Knowledge, KnowledgeEncoder
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.transe import TransEConfig
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.registry import get_head
from roots_kg.training.transe import train_transe

__all__ = ["BrokenPromise", "SampleTask", "check_head", "head_verdicts", "sample_layers"]

SMALL_GRAPH = TransEConfig(dimension=16, epochs=30, batch_size=32, negatives=32)


def check_head(head: str | type[Head], sample: SampleTask | None = None) -> None:
    """Check that a head keeps every promise that heads make.

    Args:
        head: its class, or the name under which it is registered.
        sample: what to check it with; by default its own `sample_task`.

    Raises:
        BrokenPromise: naming each promise that is broken, and how.
        UsageError: if there is no such head, or no sample.
    """
    verdicts = [verdict for verdict in head_verdicts(head, sample) if not verdict.kept]
    if verdicts:
        raise BrokenPromise("\n".join(f"{verdict.promise}: {verdict.how}" for verdict in verdicts))


def head_verdicts(head: str | type[Head], sample: SampleTask | None = None) -> list[Verdict]:
    """Check every promise that heads make, on the pretrained encoder.

    Arguments and errors are those of `check_head`, but for broken promises.

    Returns:
        A verdict for each promise; see `roots_kg.adaptation.contract`.
    """
    head_type: type[Head] = get_head(head) if isinstance(head, str) else head
    name = head if isinstance(head, str) else head.__qualname__
    sample = sample or getattr(head_type, "sample_task", None)
    if not isinstance(sample, SampleTask):
        raise UsageError(
            f"the head {name!r} has no sample to be checked with",
            hint="set its class attribute `sample_task` to a roots_kg.testing.SampleTask",
        )
    return check(Case(head_type, sample, sample_layers(TextEncoder.from_pretrained(), sample), name))


def sample_layers(encoder: Encoder, sample: SampleTask) -> KnowledgeEncoder:
    """Return layers 1 and 2 for a sample, with its graph, if it has one, trained here and now."""
    if not sample.triples:
        return KnowledgeEncoder(encoder).eval()
    graph = KnowledgeGraph.from_triples(sample.triples)
    bundle = GraphBundle(graph, train_transe(graph, SMALL_GRAPH), SMALL_GRAPH)
    return KnowledgeEncoder(encoder, Knowledge(bundle)).eval()
