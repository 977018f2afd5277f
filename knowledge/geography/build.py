"""Build the bundled geography graph from the packages babel (CLDR) and pycountry (ISO standards).

Writes `triples.tsv`, `aliases.tsv` and `card.yaml` beside this file:

    python knowledge/geography/build.py

The only facts written by hand are the tables below: which subregion a country lies in, names that read badly
in the source, and which example cities of time zones are no cities. The output is sorted, so that the same
versions of the two packages give the same bytes.
"""

from __future__ import annotations

import re
import runpy
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import pycountry
import yaml
from babel import Locale
from babel.core import get_global
from babel.numbers import get_currency_name

FOLDER = Path(__file__).resolve().parent
fold = runpy.run_path(str(FOLDER / "names.py"))["fold"]

ENGLISH = Locale.parse("en")
LOCALES = [
    Locale.parse(code)
    for code in ("de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb", "fi", "pl", "ru", "ja", "zh", "ar")
]

SPOKEN_PERCENT = 1.0
"""From this share of the population on a language counts as spoken; second languages are included."""

SUBREGIONS = {
    # CLDR region code: (continent's code, ISO codes of its countries), after the UN's M49 list.
    "015": ("002", "DZ EG EH LY MA SD TN"),
    "011": ("002", "BF BJ CI CV GH GM GN GW LR ML MR NE NG SH SL SN TG"),
    "017": ("002", "AO CD CF CG CM GA GQ ST TD"),
    "014": ("002", "BI DJ ER ET IO KE KM MG MU MW MZ RE RW SC SO SS TF TZ UG YT ZM ZW"),
    "018": ("002", "BW LS NA SZ ZA"),
    "021": ("003", "BM CA GL PM US"),
    "013": ("003", "BZ CR GT HN MX NI PA SV"),
    "029": ("003", "AG AI AW BB BL BQ BS CU CW DM DO GD GP HT JM KN KY LC MF MQ MS PR SX TC TT VC VG VI"),
    "005": ("005", "AR BO BR BV CL CO EC FK GF GS GY PE PY SR UY VE"),
    "030": ("142", "CN HK JP KP KR MN MO TW"),
    "035": ("142", "BN ID KH LA MM MY PH SG TH TL VN"),
    "034": ("142", "AF BD BT IN IR LK MV NP PK"),
    "143": ("142", "KG KZ TJ TM UZ"),
    "145": ("142", "AE AM AZ BH CY GE IL IQ JO KW LB OM PS QA SA SY TR YE"),
    "151": ("150", "BG BY CZ HU MD PL RO RU SK UA"),
    "154": ("150", "AX DK EE FI FO GB GG IE IM IS JE LT LV NO SE SJ"),
    "039": ("150", "AD AL BA ES GI GR HR IT ME MK MT PT RS SI SM VA XK"),
    "155": ("150", "AT BE CH DE FR LI LU MC NL"),
    "053": ("009", "AU CC CX HM NF NZ"),
    "054": ("009", "FJ NC PG SB VU"),
    "057": ("009", "FM GU KI MH MP NR PW UM"),
    "061": ("009", "AS CK NU PF PN TK TO TV WF WS"),
}
CONTINENTS = ("002", "003", "005", "009", "142", "150", "AQ")

COUNTRY_NAMES = {
    "CD": "Democratic Republic of the Congo",
    "CG": "Republic of the Congo",
    "CI": "Côte d'Ivoire",
    "HK": "Hong Kong",
    "MM": "Myanmar",
    "MO": "Macao",
    "PS": "Palestine",
    "UM": "United States Minor Outlying Islands",
}
EXTRA_ALIASES = {
    "CI": ["Ivory Coast"],
    "GB": ["Great Britain"],
    "MK": ["Macedonia"],
    "MM": ["Burma"],
    "SZ": ["Swaziland"],
    "TL": ["East Timor"],
    "TR": ["Turkey"],
    "VA": ["Holy See"],
}
SCRIPT_NAMES = {"Hans": "Simplified Han", "Hant": "Traditional Han"}

CURRENCY_CHANGES = {"BG": ("BGN", "EUR")}
"""Country: (old, new). Bulgaria took the euro on 2026-01-01, which babel 2.18 does not know yet."""

DUPLICATES = frozenset(
    re.findall(
        r"\S+",
        """
    CN-HK CN-MO CN-TW FI-01 FR-971 FR-972 FR-973 FR-974 FR-976 FR-BL FR-MF FR-NC FR-PF FR-PM FR-TF
    FR-WF NL-AW NL-BQ1 NL-BQ2 NL-BQ3 NL-CW NL-SX NO-21 NO-22 US-AS US-GU US-MP US-PR US-UM US-VI
        """,
    )
)
"""Subdivisions that ISO 3166-2 lists although ISO 3166-1 has them as entries of their own."""

ENGLISH_SUBDIVISIONS = {
    "AT-2": "Carinthia",
    "AT-3": "Lower Austria",
    "AT-4": "Upper Austria",
    "AT-6": "Styria",
    "AT-7": "Tyrol",
    "BE-VAN": "Antwerp",
    "BE-VLG": "Flanders",
    "BE-WAL": "Wallonia",
    "CH-GE": "Geneva",
    "CH-GR": "Grisons",
    "CH-LU": "Lucerne",
    "CH-SG": "St. Gallen",
    "CN-NM": "Inner Mongolia",
    "CN-XZ": "Tibet",
    "DE-BY": "Bavaria",
    "DE-HE": "Hesse",
    "DE-MV": "Mecklenburg-Western Pomerania",
    "DE-NI": "Lower Saxony",
    "DE-NW": "North Rhine-Westphalia",
    "DE-RP": "Rhineland-Palatinate",
    "DE-SN": "Saxony",
    "DE-ST": "Saxony-Anhalt",
    "DE-TH": "Thuringia",
    "ES-AN": "Andalusia",
    "ES-CL": "Castile and León",
    "ES-CN": "Canary Islands",
    "ES-CT": "Catalonia",
    "ES-IB": "Balearic Islands",
    "ES-PV": "Basque Country",
    "FI-10": "Lapland",
    "FR-20R": "Corsica",
    "FR-BRE": "Brittany",
    "FR-NOR": "Normandy",
    "IT-21": "Piedmont",
    "IT-25": "Lombardy",
    "IT-52": "Tuscany",
    "IT-75": "Apulia",
    "IT-82": "Sicily",
    "IT-88": "Sardinia",
    "NL-FR": "Friesland",
    "NL-NB": "North Brabant",
    "NL-NH": "North Holland",
    "NL-ZH": "South Holland",
    "PT-20": "Azores",
    "PT-30": "Madeira",
}
"""English names of well-known subdivisions, which ISO 3166-2 gives in their own language only."""

ADJECTIVES = frozenset(["wallonne", "Valenciana"])
"""Words before the comma of an ISO name ("wallonne, Région") that are no name on their own."""

NAME_SUFFIXES = {
    "CN": re.compile(r" (Sheng|Shi)$"),
    "GB": re.compile(r" City$"),
    "KR": re.compile(r"-(do|gwangyeoksi|teukbyeolsi|teukbyeoljachido)$"),
    "SE": re.compile(r"(?<=[^s])s? län$"),
}
"""The word for the kind of subdivision at the end of a name; the name without it is an alias."""

NOT_CITIES = frozenset(
    re.findall(
        r"\S+",
        """
    Africa/El_Aaiun America/Antigua America/Argentina/Tucuman America/Bahia America/Cayman
    America/Danmarkshavn America/Grand_Turk America/Lower_Princes America/Miquelon America/Noronha
    America/St_Kitts America/St_Thomas America/St_Vincent America/Thule America/Tortola
    Asia/Kamchatka Asia/Sakhalin Atlantic/Azores Atlantic/Canary Atlantic/Faroe Atlantic/Madeira
    Atlantic/South_Georgia Australia/Lindeman Australia/Lord_Howe Antarctica/Macquarie
    Europe/Vatican Indian/Chagos Indian/Cocos Indian/Comoro Indian/Kerguelen Indian/Mahe
    Pacific/Bougainville Pacific/Chatham Pacific/Chuuk Pacific/Easter Pacific/Efate Pacific/Fakaofo
    Pacific/Funafuti Pacific/Galapagos Pacific/Gambier Pacific/Guadalcanal Pacific/Kanton
    Pacific/Kiritimati Pacific/Kosrae Pacific/Kwajalein Pacific/Marquesas Pacific/Midway
    Pacific/Pitcairn Pacific/Pohnpei Pacific/Rarotonga Pacific/Saipan Pacific/Tahiti Pacific/Tarawa
    Pacific/Tongatapu Pacific/Wake Pacific/Wallis
        """,
    )
)
"""Zones named after an island, a region or a station. Those named after their country are found by name."""

COMMON_WORDS = frozenset(
    re.findall(
        r"\S+",
        """
    ama chili dominique fines fins frances fries georgie grenade indie ira island lets man maurice
    more pools riff rom russo soul turks
        """,
    )
)
"""Foreign names that are English words or first names: as aliases they would be found in any text."""


ASCII_LETTERS = {
    "ß": "ss", "æ": "ae", "Æ": "Ae", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ł": "l", "Ł": "L", "ı": "i",
    "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "œ": "oe", "Œ": "Oe", "ə": "a", "ǝ": "a", "Ə": "A", "ħ": "h",
    "Ħ": "H", "‘": "'", "’": "'", "ʻ": "'",
}  # fmt: skip
"""Letters that Unicode does not decompose, in plain ASCII."""


class Node(NamedTuple):
    """An entity before it has its key: a plain name, ever narrower tags to tell namesakes apart, aliases."""

    name: str
    tags: tuple[str, ...]
    aliases: tuple[str, ...] = ()


Triple = tuple[str, str, str]


def build() -> dict[str, str]:
    """Return the text of every generated file, by file name."""
    nodes, facts = collect()
    keys = assign_keys(nodes)
    triples = sorted({(keys[head], relation, keys[tail]) for head, relation, tail in facts})
    used = {entity for head, _, tail in triples for entity in (head, tail)}
    aliases = sorted(
        (keys[ident], order, alias)
        for ident, node in nodes.items()
        if keys[ident] in used
        for order, alias in enumerate(alias_lines(keys[ident], node))
    )
    return {
        "triples.tsv": "".join(f"{head}\t{relation}\t{tail}\n" for head, relation, tail in triples),
        "aliases.tsv": "".join(f"{entity}\t{alias}\n" for entity, _, alias in aliases),
        "card.yaml": yaml.safe_dump(
            card(triples, len(used), len(aliases)), sort_keys=False, allow_unicode=True
        ),
    }


def collect() -> tuple[dict[str, Node], set[Triple]]:
    """Return all nodes by an internal identifier ("country:AT") and the facts between identifiers."""
    parts = [regions(), countries(), subdivisions(), currencies(), languages(), time_zones()]
    nodes = {ident: node for part, _ in parts for ident, node in part.items()}
    facts = {(head, relation, tail) for _, part in parts for head, relation, tail in part if head != tail}
    return nodes, facts


def regions() -> tuple[dict[str, Node], set[Triple]]:
    """Return continents and subregions; a subregion that is a continent (South America) is one node."""
    nodes = {
        f"region:{code}": Node(ENGLISH.territories[code], (kind,), translations("territories", code))
        for kind, codes in (("subregion", SUBREGIONS), ("continent", CONTINENTS))
        for code in codes
    }
    facts = {
        (f"region:{code}", "continent", f"region:{continent}") for code, (continent, _) in SUBREGIONS.items()
    }
    return nodes, facts


def countries() -> tuple[dict[str, Node], set[Triple]]:
    """Return the countries and territories with their subregion and continent."""
    nodes = {}
    for code in country_codes():
        country = pycountry.countries.get(alpha_2=code)
        iso_names = [getattr(country, field, "") for field in ("name", "common_name", "official_name")]
        nodes[country_ident(code)] = Node(
            country_name(code),
            ("country",),
            (
                ENGLISH.territories[code],
                *(name for name in iso_names if not re.search(r"[,(]", name)),
                *EXTRA_ALIASES.get(code, ()),
                *translations("territories", code),
            ),
        )
    facts = {
        (country_ident(code), relation, f"region:{region}")
        for subregion, (continent, codes) in SUBREGIONS.items()
        for code in codes.split()
        for relation, region in (("subregion", subregion), ("continent", continent))
    }
    return nodes, facts


def subdivisions() -> tuple[dict[str, Node], set[Triple]]:
    """Return the subdivisions of ISO 3166-2 with their country, parent and kind."""
    nodes: dict[str, Node] = {}
    facts: set[Triple] = set()
    for item in pycountry.subdivisions:
        if item.code in DUPLICATES:
            continue
        ident, kind = f"subdivision:{item.code}", f"type:{item.type}"
        name, aliases = subdivision_names(item.name, item.country_code)
        if item.code in ENGLISH_SUBDIVISIONS:
            aliases += (ENGLISH_SUBDIVISIONS[item.code],)
        nodes[ident] = Node(
            name, (item.country_code, f"{item.country_code}, {item.type}", item.code), aliases
        )
        nodes[kind] = Node(f"{item.type} (subdivision type)", ())
        nodes[f"code:{item.code}"] = Node(f"ISO 3166-2:{item.code}", ())
        facts.add((ident, "located_in", country_ident(item.country_code)))
        facts.add((ident, "subdivision_type", kind))
        facts.add((ident, "iso_code", f"code:{item.code}"))
        if item.parent_code and item.parent_code not in DUPLICATES:
            facts.add((ident, "part_of", f"subdivision:{item.parent_code}"))
    return nodes, facts


def currencies() -> tuple[dict[str, Node], set[Triple]]:
    """Return the legal tender of every country, now and before."""
    nodes: dict[str, Node] = {}
    facts: set[Triple] = set()
    for code, entries in get_global("territory_currencies").items():
        if code not in country_codes():
            continue
        old, new = CURRENCY_CHANGES.get(code, (None, None))
        current = {name for name, _, end, tender in entries if tender and end is None and name != old} | {new}
        former = {name for name, _, end, tender in entries if tender and end is not None} | {old}
        for currency in (current | former) - {None, "XXX"}:
            ident = f"currency:{currency}"
            name = get_currency_name(currency, count=1, locale=ENGLISH)
            nodes[ident] = Node(
                name,
                ("currency",),
                (ENGLISH.currencies[currency], *translations("currencies", currency)),
            )
            facts.add((country_ident(code), "currency" if currency in current else "former_currency", ident))
    return nodes, facts


def languages() -> tuple[dict[str, Node], set[Triple]]:
    """Return the languages that CLDR counts in some country, and the scripts they are written in."""
    nodes: dict[str, Node] = {}
    facts: set[Triple] = set()
    relations = {
        "official": "official_language",
        "de_facto_official": "official_language",
        "official_regional": "regional_language",
    }
    for code, entries in get_global("territory_languages").items():
        if code not in country_codes():
            continue
        for tag, info in entries.items():
            status, spoken = info["official_status"], info["population_percent"] >= SPOKEN_PERCENT
            if status is None and not spoken:
                continue
            language, script = language_and_script(tag)
            ident, script_ident = f"language:{language}", f"script:{script}"
            nodes[ident] = Node(*language_names(language))
            nodes[script_ident] = Node(
                SCRIPT_NAMES.get(script, ENGLISH.scripts[script]),
                ("script",),
                (f"{ENGLISH.scripts[script]} script",),
            )
            facts.add((ident, "script", script_ident))
            if spoken:
                facts.add((country_ident(code), "spoken_language", ident))
            if status:
                facts.add((country_ident(code), relations[status], ident))
    return nodes, facts


def time_zones() -> tuple[dict[str, Node], set[Triple]]:
    """Return the time zones of every country, their standard time, and the cities they are named after."""
    nodes: dict[str, Node] = {}
    facts: set[Triple] = set()
    older_names = defaultdict(list)
    for alias, zone in sorted(get_global("zone_aliases").items()):
        if "/" in alias:
            older_names[zone].append(alias)
    for code, zones in get_global("territory_zones").items():
        if code not in country_codes() and code != "AQ":
            continue
        for zone in zones:
            zone_ident, city_ident = f"zone:{zone}", f"city:{zone}"
            nodes[zone_ident] = Node(zone, (), tuple(older_names[zone]))
            facts.add((country_ident(code), "time_zone", zone_ident))
            if standard := standard_time(zone):
                nodes[f"clock:{standard}"] = Node(standard, ())
                facts.add((zone_ident, "standard_time", f"clock:{standard}"))
            city = city_name(zone, ENGLISH)
            if is_city(zone, city, code):
                aliases = tuple(city_name(zone, locale) for locale in LOCALES)
                nodes[city_ident] = Node(city, ("city", f"city in {code}"), aliases)
                facts.add((city_ident, "city_in", country_ident(code)))
                facts.add((city_ident, "time_zone", zone_ident))
    return nodes, facts


def assign_keys(nodes: dict[str, Node]) -> dict[str, str]:
    """Return a unique key for every node: its plain name, with a tag where others share that name."""
    namesakes = defaultdict(list)
    for ident, node in sorted(nodes.items()):
        namesakes[fold(node.name)].append(ident)
    keys = {}
    for group in namesakes.values():
        if len(group) == 1:
            keys[group[0]] = clean(nodes[group[0]].name)
            continue
        for level in range(3):
            tags = {ident: nodes[ident].tags[min(level, len(nodes[ident].tags) - 1)] for ident in group}
            shared = Counter(tags.values())
            for ident in group:
                if ident not in keys and shared[tags[ident]] == 1:
                    keys[ident] = f"{clean(nodes[ident].name)} ({tags[ident]})"
    if len(set(keys.values())) != len(nodes):
        raise ValueError("two entities have the same key, or one has none")
    return keys


def alias_lines(key: str, node: Node) -> list[str]:
    """Return the aliases, the plain name first; none if the key is the only name."""
    plain = clean(node.name)
    others = {variant for alias in node.aliases for variant in spellings(clean(alias))} | set(
        spellings(plain)
    )
    kept = sorted(alias for alias in others - {plain} if is_alias(alias))
    return [plain, *kept] if kept or plain != key else []


def card(triples: list[Triple], entities: int, aliases: int) -> dict[str, Any]:
    """Return what `card.yaml` says about the graph."""
    relations = Counter(relation for _, relation, _ in triples)
    return {
        "name": "geography",
        "description": "Countries, their subdivisions, cities, time zones, currencies and languages.",
        "source": "Unicode CLDR through babel; ISO 3166 and ISO 639 through pycountry; "
        "subregions after the UN's M49 list",
        "licence": "Unicode-3.0 (data of CLDR) and LGPL-2.1-only (data of pycountry)",
        "counts": {
            "triples": len(triples),
            "entities": entities,
            "relations": len(relations),
            "aliases": aliases,
            "by_relation": dict(sorted(relations.items())),
        },
        "generator": {"babel": version("babel"), "pycountry": version("pycountry")},
    }


def country_codes() -> frozenset[str]:
    """Return ISO's country codes and Kosovo's; Antarctica is a continent here."""
    return frozenset(country.alpha_2 for country in pycountry.countries) - {"AQ"} | {"XK"}


def country_ident(code: str) -> str:
    return f"region:{code}" if code == "AQ" else f"country:{code}"


def country_name(code: str) -> str:
    plain = ENGLISH.territories[code].replace(" & ", " and ").replace("St. ", "Saint ")
    return COUNTRY_NAMES.get(code, plain)


def translations(table: str, code: str) -> tuple[str, ...]:
    """Return the names of a CLDR item in all locales that have one."""
    return tuple(names[code] for locale in LOCALES if code in (names := getattr(locale, table)))


def subdivision_names(name: str, country: str) -> tuple[str, tuple[str, ...]]:
    """Return the plain name and the aliases that an ISO 3166-2 name holds.

    "Catalunya [Cataluña]" gives both names, "Navarra, Comunidad Foral de" also the order in which it is
    spoken, and "Elgeyo/Marakwet" both halves; bracketed codes, remarks and marks of age are dropped.
    """
    bracketed = re.findall(r"\[(.*?)\]", name)
    aliases = [re.sub(r"\s*\b[A-Z]{2}-\w+$", "", part) for part in bracketed if part != "city"]
    plain = re.sub(r"\s*[\[(].*?[\])]", "", name).replace("†", "").strip(" /")
    if plain.count(",") == 1 and not re.search(r",.* (and|y) ", plain):
        first, last = plain.split(", ")
        spoken = f"{last[0].upper()}{last[1:]}{'' if last.endswith(chr(39)) else ' '}{first}"
        plain = spoken if first in ADJECTIVES else first
        aliases.append(spoken)
    if "/" in plain:
        aliases += re.split(r"\s*/\s*", plain)
    if country in NAME_SUFFIXES:
        aliases.append(NAME_SUFFIXES[country].sub("", plain))
    return plain, tuple(aliases)


def language_and_script(tag: str) -> tuple[str, str]:
    """Split "sr_Latn" into its parts; a tag without a script has the script that CLDR calls likely."""
    language, _, script = tag.partition("_")
    likely = get_global("likely_subtags").get(language, "")
    if not script:
        script = next((part for part in likely.split("_") if len(part) == 4 and part.istitle()), "Latn")
    return language, script


def language_names(code: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Return name, tags and aliases of a language; ISO 639 names what CLDR leaves unnamed."""
    iso = pycountry.languages.get(**{f"alpha_{len(code)}": code})
    iso_name = iso.name if iso else ""
    plain_iso = () if re.search(r"[(;,]", iso_name) else (iso_name,)
    return (
        ENGLISH.languages.get(code, iso_name),
        ("language", f"language {code}"),
        (*plain_iso, *translations("languages", code)),
    )


def standard_time(zone: str) -> str | None:
    """Return the name of a zone's standard time ("Central European Standard Time") where it shares one."""
    names = ENGLISH.meta_zones.get(get_global("meta_zones").get(zone, ""), {}).get("long", {})
    return names.get("standard")


def city_name(zone: str, locale: Locale) -> str:
    default = zone.rsplit("/", 1)[1].replace("_", " ")
    return str(locale.time_zones.get(zone, {}).get("city", default))


def is_city(zone: str, city: str, country: str) -> bool:
    if zone in NOT_CITIES or zone.startswith("Antarctica/"):
        return False
    return fold(city) not in {fold(ENGLISH.territories[country]), fold(country_name(country))}


def spellings(name: str) -> Iterator[str]:
    """Yield the name, its ASCII form where the letters have one, and both with a plain apostrophe."""
    for variant in (name, re.sub("[’‘ʻ`]", "'", name)):
        yield variant
        ascii_form = "".join(ASCII_LETTERS.get(char, char) for char in unicodedata.normalize("NFKD", variant))
        ascii_form = "".join(char for char in ascii_form if not unicodedata.combining(char))
        if ascii_form.isascii():
            yield ascii_form


def is_alias(alias: str) -> bool:
    """Tell whether a name may be an alias: no code, no single letter, no ordinary word."""
    return len(alias) > 1 and not re.fullmatch("[A-Z]{2,3}", alias) and fold(alias) not in COMMON_WORDS


def clean(name: str) -> str:
    return unicodedata.normalize("NFC", " ".join(name.split()))


if __name__ == "__main__":
    for name, text in build().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
