"""Where the entities of a picture go: distances as in the graph, and no label on top of another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roots_kg.graph.triples import Ids

__all__ = ["place"]

Points = NDArray[np.float64]

ROUNDS = 100
GAP = np.array([16.0, 14.0])
WIDE = 1.35
"""How much wider than high a picture is meant to be."""

ROOMY = 2.5
"""The area of a component, in times the area of its labels, before labels are pushed apart."""

LONGEST = 260.0
"""The most that the mean edge of a component begins with, in pixels."""


def place(sizes: Points, edges: Ids, room: tuple[float, float] = (36.0, 22.0)) -> Points:
    """Place nodes in the plane, each component by itself and the components beside each other.

    In a component, the stress Σ (‖x_i − x_j‖ − d_ij)² / d_ij², over all pairs at graph distance d_ij, is
    lowered by majorisation (Gansner, Koren and North 2004), from a tree that is drawn in circles around the
    first node. Then boxes that overlap are pushed apart. Nothing is random.

    Args:
        sizes: (M, 2) the width and height of each node's box, in pixels.
        edges: (F, 2) the nodes that are joined; edges that come together are drawn next to each other.
        room: how far apart boxes that are joined must be, at the side or above each other.

    Returns:
        (M, 2) the middle of each box, x to the right and y downwards, both at least 0 for every box.
    """
    positions = np.zeros((len(sizes), 2))
    corner, row_height, row_width = np.zeros(2), 0.0, 0.0
    for nodes in _components(len(sizes), edges):
        local = np.full(len(sizes), -1)
        local[nodes] = np.arange(len(nodes))
        inner = local[edges[local[edges[:, 0]] >= 0]] if len(edges) else edges
        points = _place_component(sizes[nodes], inner, np.array(room))
        low, high = (points - sizes[nodes] / 2).min(0), (points + sizes[nodes] / 2).max(0)
        width, height = high - low
        if corner[0] and corner[0] + width > row_width:
            corner, row_height = np.array([0.0, corner[1] + row_height + 3 * GAP[1]]), 0.0
        positions[nodes] = points - low + corner
        corner[0] += width + 3 * GAP[0]
        row_height, row_width = max(row_height, height), max(row_width, corner[0], 900.0)
    return positions


def _components(count: int, edges: Ids) -> list[Ids]:
    label = np.arange(count)
    while len(edges):
        before = label
        label = label.copy()
        np.minimum.at(label, edges.ravel(), np.repeat(before[edges].min(1), 2))
        if np.array_equal(label, before):
            break
    found = [np.flatnonzero(label == root) for root in np.unique(label)]
    return sorted(found, key=len, reverse=True)


def _place_component(sizes: Points, edges: Ids, room: Points) -> Points:
    if len(sizes) == 1:
        return np.zeros((1, 2))
    distance = _distances(len(sizes), edges)
    points = _relax(_circles(distance[0], edges), distance) * [WIDE, 1.0]
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1).mean()
    spread = np.sqrt(ROOMY * (sizes + GAP).prod(1).sum() / np.prod(np.ptp(points, axis=0) + 0.5))
    points *= np.clip(spread, 1.5 * room.sum() / length, LONGEST / length)
    first, second = np.triu_indices(len(sizes), 1)
    needed = (sizes[first] + sizes[second]) / 2 + GAP
    needed[distance[first, second] == 1] += room - GAP
    return _apart(points, first, second, needed)


def _distances(count: int, edges: Ids) -> Points:
    """Return the number of edges between each two nodes, (M, M)."""
    joined = np.zeros((count, count), dtype=np.float32)
    joined[edges[:, 0], edges[:, 1]] = joined[edges[:, 1], edges[:, 0]] = 1
    reached = np.eye(count, dtype=bool)
    distance = np.where(reached, 0.0, np.inf)
    for step in range(1, count):
        new = (reached.astype(np.float32) @ joined > 0) & ~reached
        if not new.any():
            break
        distance[new] = step
        reached |= new
    return distance


def _circles(depth: Points, edges: Ids) -> Points:
    """Return a first layout: node 0 in the middle, each node's children fanned out behind it, (M, 2)."""
    children: list[list[int]] = [[] for _ in depth]
    placed = {0}
    for step in range(int(depth.max())):
        for first, second in edges.tolist():
            for parent, child in ((first, second), (second, first)):
                if depth[parent] == step and depth[child] == step + 1 and child not in placed:
                    children[parent].append(child)
                    placed.add(child)
    leaves = np.ones(len(depth))
    for node in np.argsort(-depth, kind="stable").tolist():
        leaves[node] = max(1.0, leaves[children[node]].sum())
    begin, angle = np.zeros(len(depth)), np.zeros(len(depth))
    for node in np.argsort(depth, kind="stable").tolist():
        angle[node] = begin[node] + leaves[node] / 2
        start = begin[node]
        for child in children[node]:
            begin[child], start = start, start + leaves[child]
    first = angle[children[0][0]] if children[0] else 0.0
    turn = 2 * np.pi * (angle - first) / leaves[0]
    aside = 0.1 * np.sin(np.arange(len(depth)))  # or what begins on a line would stay on it
    return np.stack([depth * np.cos(turn), depth * np.sin(turn) + aside], axis=1)


def _relax(points: Points, distance: Points) -> Points:
    """Lower the stress of a layout by majorisation."""
    weight = np.divide(1.0, distance**2, out=np.zeros_like(distance), where=distance > 0)
    laplacian = np.diag(weight.sum(1)) - weight
    inverse = np.linalg.pinv(laplacian, hermitian=True)
    for _ in range(ROUNDS):
        apart = np.linalg.norm(points[:, None] - points[None], axis=2)
        pull = np.divide(weight * distance, apart, out=np.zeros_like(apart), where=apart > 1e-9)
        moved = inverse @ ((np.diag(pull.sum(1)) - pull) @ points)
        change = np.abs(moved - points).max()
        points = moved
        if change < 1e-3:
            break
    return points


def _apart(points: Points, first: Ids, second: Ids, needed: Points) -> Points:
    """Push boxes apart until none lies on another; while some still do, the whole is spread a little.

    Args:
        points: (M, 2) the middle of each box.
        first: (P,) one box of each pair.
        second: (P,) the other.
        needed: (P, 2) how far apart their middles must be, at the side or above each other.
    """
    for attempt in range(1, 10 * ROUNDS):
        difference = points[first] - points[second]
        overlap = needed - np.abs(difference)
        touching = np.flatnonzero((overlap[:, 0] > 0) & (overlap[:, 1] > 0))
        if not len(touching):
            break
        push = np.where(difference[touching] < 0, -0.5, 0.5) * (overlap[touching] + 0.5)
        longer_way = (overlap[touching] / [WIDE, 1.0]).argmax(1)
        push[np.arange(len(touching)), longer_way] = 0
        moved, count = np.zeros_like(points), np.zeros(len(points))
        for end, sign in ((first, 1), (second, -1)):
            np.add.at(moved, end[touching], sign * push)
            np.add.at(count, end[touching], 1)
        points = points + moved / np.maximum(1, count)[:, None]
        if attempt % 10 == 0:
            points = points * 1.03
    return points
