import re

import networkx
import pytest


def test_show_writes_a_page_around_an_entity(roots, towns_file, tmp_path):
    out = tmp_path / "austria.html"
    result = roots("kg", "show", towns_file, "--entity", "Austria", "--out", out)
    assert result.code == 0, result.err
    assert result.out == f"{out}: Austria: 9 entities, 8 triples within 1 hop\n"
    text = out.read_text(encoding="utf-8")
    assert "<td><bdi>Wels</bdi></td>" in text
    assert "Kassel" not in text


def test_show_takes_a_name_a_bundle_and_several_files(roots, towns, towns_file, tmp_path):
    out = tmp_path / "a.html"
    named = roots("kg", "show", "geography", "--entity", "Österreich", "--out", out, "--json").json
    assert named["centres"] == ["Austria"]
    bundle = roots("kg", "show", towns, "--entity", "Österreich", "--hops", 2, "--out", out, "--json").json
    assert (bundle["centres"], bundle["metrics"]["left_out"]) == (["Austria"], 0)
    more = tmp_path / "more.tsv"
    more.write_text("Austria\tcapital\tWien\n")
    both = roots("kg", "show", towns_file, more, "--entity", "Austria", "--out", out, "--json").json
    assert both["metrics"] == {"entities": 10, "triples": 9, "left_out": 0}


def test_show_writes_a_picture(roots, towns_file, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "towns.PNG"
    result = roots("kg", "show", towns_file, "--out", out)
    assert result.code == 0, result.err
    assert "no entity was named, these are the most connected" in result.out
    assert out.read_bytes().startswith(b"\x89PNG")


def test_graphml_holds_the_whole_graph_unless_an_entity_or_a_limit_is_named(
    roots, towns_file, tmp_path, triples
):
    out = tmp_path / "towns.graphml"
    assert "the whole graph" in roots("kg", "show", towns_file, "--out", out).out
    assert networkx.read_graphml(out).number_of_edges() == len(triples)
    roots("kg", "show", towns_file, "--entity", "Graz", "--hops", 2, "--out", out)
    assert networkx.read_graphml(out).number_of_edges() == 8
    roots("kg", "show", towns_file, "--max-nodes", 4, "--out", out)
    assert networkx.read_graphml(out).number_of_nodes() == 4


def test_show_says_how_many_entities_are_left_out(roots, towns_file, tmp_path):
    result = roots(
        "kg", "show", towns_file, "--entity", "Austria", "--max-nodes", 4, "--out", tmp_path / "a.html"
    )
    assert "5 more entities there are left out" in result.out
    assert "--max-nodes" in result.out


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("towns", "--out", "picture.jpg"), "picture.jpg: unknown kind of file '.jpg'", 2),
        (("towns", "--out", "picture"), "end its name in .html, .png or .graphml", 2),
        (("towns", "--out", "folder.html"), "folder.html: this is a folder", 2),
        (
            ("facts.html", "--out", "facts.html"),
            "facts.html: this file has another part in the same command",
            2,
        ),
        (("bundle", "--out", "bundle/page.html"), "this lies in the bundle that is being read", 2),
        (("bundle", "towns", "--out", "a.html"), "a bundle is shown by itself", 2),
        (("bundle", "--delimiter", "tab", "--out", "a.html"), "a bundle is read as it is", 2),
        (("towns", "--max-nodes", "5000", "--out", "a.html"), "a picture shows at most 1,000 entities", 2),
        (("towns", "--entity", "Grazz", "--out", "a.html"), "did you mean 'Graz'?", 1),
        (("nowhere", "--out", "a.html"), "nowhere: there is no such file", 1),
        (("towns", "--out", "facts.html/a.html"), "facts.html/a.html: cannot be written", 1),
    ],
)
def test_what_cannot_be_shown_is_one_line_and_loses_nothing(
    roots, tmp_path, towns, towns_file, arguments, message, code
):
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "facts.html").write_text("Graz\tin\tAustria\n")
    (tmp_path / "bundle").symlink_to(towns)
    (tmp_path / "knowledge" / "towns").mkdir(parents=True)
    (tmp_path / "knowledge" / "towns" / "triples.tsv").symlink_to(towns_file)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    result = roots("kg", "show", *arguments, cwd=tmp_path)
    assert (result.code, result.out) == (code, "")
    assert re.match(r"error: .*\n$", result.err)
    assert message in result.err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
