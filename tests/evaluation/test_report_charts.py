import re
from xml.etree import ElementTree

from roots_kg.evaluation.report_charts import Bar, bars
from roots_kg.intervals import Estimate

ROWS = [
    Bar("graph", Estimate(0.8, 0.7, 1.2), "0.8 [0.7, 1.2]", "graph"),
    Bar("no graph", 0.25, "1 of 4"),
    Bar("<triples>", None, "not possible"),
]


def test_a_chart_is_an_image_with_its_rows_in_words():
    chart = ElementTree.fromstring(bars("name", "A & B", ROWS))
    assert chart.get("role") == "img"
    title, words = (chart.find(f"*[@id='{name}']") for name in chart.get("aria-labelledby").split())
    assert title.text == "A & B"
    assert words.text == "graph: 0.8 [0.7, 1.2]; no graph: 1 of 4; <triples>: not possible"


def test_bars_are_as_long_as_their_values_and_whiskers_stay_on_the_chart():
    chart = ElementTree.fromstring(bars("name", "title", ROWS))
    assert [rect.get("width") for rect in chart.iter("rect")] == ["80.00%", "25.00%"]
    whiskers = [line for line in chart.iter("line") if line.get("class") == "whisker"]
    assert (whiskers[0].get("x1"), whiskers[0].get("x2")) == ("70.00%", "100.00%")
    assert len(whiskers) == 3


def test_a_chart_holds_no_style_or_script_of_its_own():
    assert not re.search(r"style=|<script|<style|href", bars("name", "title", ROWS))
