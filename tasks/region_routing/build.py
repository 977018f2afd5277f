"""Write the support tickets of this task from templates and the places of the geography graph.

    python tasks/region_routing/build.py

Writes `train.jsonl` and `test.jsonl` beside this file. Every ticket names one place, and the team that
answers follows from the country of that place. Each team gets the same templates equally often, so that the
rest of the text says nothing about the team. Train and test share neither places nor templates.
"""

from __future__ import annotations

import json
import random
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

FOLDER = Path(__file__).resolve().parent
GRAPH = FOLDER.parent.parent / "knowledge" / "geography"
SEED = 20250301
TICKETS = {"train": 40, "test": 50}
"""Tickets a team."""
TRAIN_SHARE = 0.45
"""The part of a team's places that goes to train."""

TEAMS = {
    "dach": ("Germany", "Austria", "Switzerland"),
    "nordics": ("Sweden", "Norway", "Denmark", "Finland", "Iceland"),
    "france_benelux": ("France", "Belgium", "Netherlands", "Luxembourg (country)"),
    "iberia": ("Spain", "Portugal"),
    "british_isles": ("United Kingdom", "Ireland"),
    "anglo_pacific": (
        "Australia",
        "New Zealand",
        "Papua New Guinea",
        "Fiji",
        "Samoa",
        "Tonga",
        "Vanuatu",
        "Solomon Islands",
    ),
    "southern_cone": ("Argentina", "Chile", "Uruguay", "Paraguay"),
    "andes": ("Bolivia", "Peru", "Ecuador", "Colombia", "Venezuela"),
}
"""Team: keys of its countries in the graph."""

LEFT_OUT = frozenset(["Australian Capital Territory", "Clipperton", "Portuguesa", "Scottish Borders"])
"""Places whose name hints at a country, and one where nobody lives."""

TRAIN_TEMPLATES = (
    "My parcel to {place} is five days late and the tracking page has not changed since.",
    "hi, i moved to {place} last month and the checkout still refuses my new address. please help",
    "Could you resend the invoice for our office in {place}? The accountant says the VAT line is missing.",
    "I returned two shirts from {place} three weeks ago. When will I see the refund?",
    "The courier left the box in the rain. Everything inside is wet. Pickup was in {place}.",
    "I forgot my password and the reset mail never arrives. The account is registered in {place}.",
    "We are opening a branch in {place} and want to add twelve seats to our subscription. What is the price?",
    "cant log in since the update. my team sits in {place} and nobody gets past the loading screen",
    "Please cancel my subscription at the end of the period. Billing address: {place}.",
    "The headphones I ordered arrived with a cracked case. Can a replacement be sent to {place}?",
    "I was charged twice for the same order. Delivery was to {place}.",
    "Do you ship lithium batteries to {place}, and what does express delivery cost?",
    "The technician was supposed to visit us in {place} this morning but nobody showed up.",
    "Our company has moved to {place}. How do we change the name and the address on future invoices?",
    "The app shows the wrong time for my bookings. I am in {place}, if that matters.",
    "i need a copy of my receipt for the laptop i bought in {place}, the old one is unreadable",
    "Is there a service partner near {place} where I can have the screen repaired under warranty?",
    "My voucher code is rejected at checkout. I live in {place} and the code came with your newsletter.",
    "Somebody in {place} signed for my package, but it was not me. Please open an investigation.",
    "We would like a demo for about thirty colleagues. Our training room is in {place}.",
    "The wrong size was delivered to {place}. I ordered medium and got extra large.",
    "Since yesterday every export from our {place} workspace ends with error 504.",
    "Please delete my account and all personal data. I signed up from {place} two years ago.",
    "hello, is it possible to collect the order myself? i am in {place} until friday",
    "Greetings from {place}! The coffee machine is great, but the manual was missing from the box.",
    "Two of the six chairs for our café in {place} have loose legs. How do we make a claim?",
    "The payment went through, yet the order still says pending. Ship to: {place}.",
    "Can I change the delivery date? Nobody will be at home in {place} before the weekend.",
    "We never received the welcome mail for the new administrator of our {place} site.",
    "my order for {place} was split in three and only one part came. where is the rest?",
)

TEST_TEMPLATES = (
    "Tracking says delivered, but our reception in {place} has nothing. Could you check with the driver?",
    "The discount you promised on the phone is not on the bill we got in {place}.",
    "hey, the mobile app keeps crashing when i pick {place} as my home address",
    "I would like to swap the blue lamp for the green one. It would have to be sent to {place} again.",
    "For tax reasons we need all receipts of last year for our shop in {place}, as one file if possible.",
    "Two-factor codes do not reach my phone any longer. I am travelling around {place} at the moment.",
    "Our contract ends soon. Before we renew for the {place} team: how do the storage limits work?",
    "Nobody answers the hotline. I am waiting in {place} for a fridge that was due yesterday!",
    "what are the shipping costs to {place} for a bicycle, and how long does it take",
    "The glass plate broke on the way to {place}. I have added photos of the packaging.",
    "I ordered by mistake. Is it too late to stop the delivery to {place}?",
    "After the migration all calendars of our colleagues in {place} are empty. This is urgent.",
    "A gift card that I bought for a friend in {place} cannot be redeemed.",
    "Your fitter did a great job here in {place}. Where may I leave a review?",
    "The printer drivers cannot be installed. We use the standard laptops of the {place} branch.",
    "Please send somebody to {place} to pick up the washing machine, it leaks and we want our money back.",
    "i changed my bank details but the monthly fee was taken from the old account. customer from {place}",
    "Our school in {place} would like to know whether you have an education price.",
    "The zip code of {place} is marked as invalid, so I cannot finish my purchase.",
    "Half of the screws are missing from the wardrobe kit. Could spare parts be mailed to {place}?",
    "We were told that your servers were down. Is the service for {place} back to normal now?",
    "Do I have to pay customs when the watch goes back from {place} for repair?",
    "please stop the newsletter. i have asked twice already, my profile says {place}",
    "The order confirmation lists a street that does not exist. I live in {place}, the rest is correct.",
    "How do I transfer the ownership of a workspace? Our manager in {place} has left the firm.",
    "The sofa is wonderful, but the cover has a stain. It came to {place} last week.",
    "I have been locked out after five attempts. Could you unlock our clinic's account in {place}?",
    "quick question: do your opening hours apply to the pickup point in {place} as well?",
    "The quote for the {place} project expired while our board was still deciding. Can you extend it?",
    "My warranty card got lost when we moved to {place}. Is the serial number enough for a claim?",
)


def build() -> dict[str, str]:
    """Return the text of both files, by file name."""
    names = SimpleNamespace(**runpy.run_path(str(GRAPH / "names.py")))
    graph = names.read_graph(GRAPH)
    check_templates(names, graph)
    places = places_by_team(names, graph)
    return {f"{split}.jsonl": to_jsonl(tickets(split, places)) for split in TICKETS}


def places_by_team(names: Any, graph: Any) -> dict[str, list[str]]:
    """Return the places that a ticket of each team may name, in alphabetical order.

    A place has a plain name (see `names.py`), does not hold the name of a country or of a team, and is
    no country itself as England is. Of two names of which one holds the other, the longer is left out.
    """
    plain = names.plain_names(graph)
    teams = {country: team for team, countries in TEAMS.items() for country in countries}
    countries = {head for head, relation, _ in graph.triples if relation == "subregion"}
    forbidden = {names.words(name) for country in countries for name in graph.names[country]}
    forbidden |= {word for team in TEAMS for word in team.split("_")}
    nations = {
        head
        for head, relation, tail in graph.triples
        if relation == "subdivision_type" and tail == "Country (subdivision type)"
    }
    found = {
        plain[head]: teams[tail]
        for head, relation, tail in graph.triples
        if relation in ("located_in", "city_in")
        and tail in teams
        and head in plain
        and head not in nations | LEFT_OUT
        and "," not in plain[head]
        and not names.names_in(plain[head], forbidden)
    }
    found_words = {names.words(name) for name in found}
    shortest = [name for name in sorted(found) if len(names.names_in(name, found_words)) == 1]
    return {team: [name for name in shortest if found[name] == team] for team in TEAMS}


def tickets(split: str, places: dict[str, list[str]]) -> list[dict[str, str]]:
    """Return the shuffled tickets of a split; all teams use the same templates equally often."""
    rng = random.Random(f"{SEED} {split}")
    templates = list(TRAIN_TEMPLATES if split == "train" else TEST_TEMPLATES)
    rng.shuffle(templates)
    records = []
    for team, team_places in places.items():
        chosen = split_places(team, team_places)[split]
        for number in range(TICKETS[split]):
            lap, template_number = divmod(number, len(templates))
            # Without the shift, a number of places that divides the number of templates repeats its pairs.
            shift = lap if len(templates) % len(chosen) == 0 else 0
            place = chosen[(number + shift) % len(chosen)]
            records.append({"text": fill(templates[template_number], place), "label": team})
    rng.shuffle(records)
    return records


def split_places(team: str, places: list[str]) -> dict[str, list[str]]:
    """Return the disjoint places of train and test, in the order in which tickets use them."""
    shuffled = random.Random(f"{SEED} {team}").sample(places, len(places))
    cut = round(TRAIN_SHARE * len(shuffled))
    return {"train": shuffled[:cut], "test": shuffled[cut:]}


def fill(template: str, place: str) -> str:
    """Put the place into the template; a template without capitals is written without them throughout."""
    return template.format(place=place.lower() if template.islower() else place)


def check_templates(names: Any, graph: Any) -> None:
    """Raise if a template names an entity of the graph besides its place."""
    owners = names.name_owners(graph)
    for template in TRAIN_TEMPLATES + TEST_TEMPLATES:
        if found := names.names_in(template.replace("{place}", " "), owners):
            raise ValueError(f"the graph has entities named {sorted(found)}, as in the template {template!r}")


def to_jsonl(records: list[dict[str, str]]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


if __name__ == "__main__":
    for name, text in build().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
