"""`roots kg`: the verbs about graphs."""

from __future__ import annotations

from roots_kg.cli.verbs import verb_group

app = verb_group(
    "Knowledge graphs.",
    {
        "check": ("kg.check:check", "Read triples, count them, and report what is wrong or looks wrong."),
        "train": ("kg.train:train", "Learn TransE vectors for a graph and save both as a bundle."),
        "evaluate": ("kg.evaluate:evaluate", "Rank the true tail and head of each test triple."),
        "complete": ("kg.complete:complete", "Complete a triple with what TransE holds most likely."),
        "similar": ("kg.similar:similar", "List the entities whose vectors are nearest to an entity's."),
        "add": ("kg.add:add", "Add triples to a graph, in place, without training again."),
        "remove": ("kg.remove:remove", "Remove triples from a graph, in place."),
        "show": ("kg.show:show", "Draw the neighbourhood of an entity."),
    },
)
