"""The algorithms of meta-learning, as what sets them apart: where a task starts and what it moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["ALGORITHMS", "Algorithm", "AlgorithmName"]

AlgorithmName = Literal["prototypical", "anil", "maml", "protomaml", "reptile"]


@dataclass(frozen=True)
class Algorithm:
    """What an algorithm does with a task.

    Args:
        start: where class weights start: at the prototypes of the support set and the label names, or at one
            learned vector for all classes (Ye & Chao 2022, arXiv:2106.16245), which makes the start good for
            any number of classes in any order.
        moves: what inner steps move: class weights ("head"), the module on the features ("module"), or
            nothing.
        follows: whether the outer step follows what inner steps moved, in place of a loss on the query set.
    """

    start: Literal["prototypes", "learned"]
    moves: tuple[Literal["head", "module"], ...]
    follows: bool = False


ALGORITHMS: dict[AlgorithmName, Algorithm] = {
    # Snell et al. 2017, arXiv:1703.05175
    "prototypical": Algorithm("prototypes", ()),
    # Raghu et al. 2020, arXiv:1909.09157
    "anil": Algorithm("learned", ("head",)),
    # Finn et al. 2017, arXiv:1703.03400
    "maml": Algorithm("learned", ("head", "module")),
    # Triantafillou et al. 2020, arXiv:1903.03096
    "protomaml": Algorithm("prototypes", ("head", "module")),
    # Nichol et al. 2018, arXiv:1803.02999
    "reptile": Algorithm("learned", ("head", "module"), follows=True),
}
