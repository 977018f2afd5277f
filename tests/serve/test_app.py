"""The HTTP interface: the same answers as in Python, limits, keys, and every failure in words."""

import json
import logging

import pytest

from roots_kg.errors import UsageError
from roots_kg.serve import ServeConfig

TEXTS = ["The parcel to Wels never arrived.", "Our office in Calama needs a new invoice.", ""]


def test_predictions_are_those_of_the_model(serving, routing):
    told = serving().post("/predict", json={"texts": TEXTS}).json()
    expected = routing.predict(TEXTS)
    assert [row["prediction"] for row in told["predictions"]] == [found.value for found in expected]
    for row, found, text in zip(told["predictions"], expected, TEXTS, strict=True):
        assert row["text"] == text
        assert row["probability"] == pytest.approx(found.probability, abs=1e-6)
        assert row["in_scope"] is True


def test_a_line_of_an_examples_file_is_read_as_one(serving):
    client = serving()
    rows = client.post("/predict", json={"texts": [TEXTS[0], {"text": TEXTS[0]}]}).json()["predictions"]
    assert [row["text"] for row in rows] == [TEXTS[0]] * 2
    assert rows[0]["probability"] == pytest.approx(rows[1]["probability"], abs=1e-6)
    failed = client.post("/predict", json={"texts": ["a", {"words": "a"}]})
    assert (failed.status_code, failed.json()["error"]) == (400, "texts:2: 'text' is missing")


def test_the_graph_can_be_switched_off(serving, routing):
    client = serving()
    off = client.post("/explain", json={"texts": TEXTS[:1], "graph": False}).json()["explanations"][0]
    on = client.post("/explain", json={"texts": TEXTS[:1]}).json()["explanations"][0]
    assert (off["links"], off["evidence"]) == ([], [])
    assert on["links"][0]["entity"] == "Wels"
    assert on["evidence"][0]["triple"] == ["Wels", "located_in", "Austria"]
    plain = routing.without_graph().predict(TEXTS[:1])[0]
    assert off["probability"] == pytest.approx(plain.probability, abs=1e-6)
    assert on["probability"] > off["probability"]


def test_vectors_are_those_of_the_model(serving, routing):
    vectors = serving().post("/encode", json={"texts": ["a", "b"]}).json()["vectors"]
    for told, expected in zip(vectors, routing.encode(["a", "b"]).tolist(), strict=True):
        assert told == pytest.approx(expected, abs=1e-6)


def test_a_text_is_generated_piece_by_piece(serving, routing):
    client = serving(max_streams=1)
    for _ in range(2):  # the place is free again
        with client.stream("POST", "/generate", json={"prompt": "She", "max_new_tokens": 6}) as answer:
            assert answer.status_code == 200
            written = "".join(answer.iter_text())
        assert written == routing.generate("She", max_new_tokens=6)
    failed = client.post("/generate", json={"prompt": "She", "top_k": 3})
    assert (failed.status_code, failed.json()["hint"]) == (400, "turn sample on")
    assert client.post("/generate", json={"prompt": "a", "max_new_tokens": 10_000}).status_code == 400


def test_the_neighbourhood_of_an_entity_is_told(serving):
    client = serving()
    told = client.get("/graph/Österreich", params={"limit": 4}).json()
    assert (told["entity"], told["name"]) == ("Austria", "Austria")
    assert len(told["nodes"]) == 4
    assert told["left_out"] > 0
    assert {"head": "Austria", "relation": "currency", "tail": "euro", "source": ""} in told["triples"]
    missing = client.get("/graph/Austrai")
    assert missing.status_code == 404
    assert missing.json()["hint"] == "did you mean 'Austria'?"


def test_edits_are_off_unless_they_are_allowed(serving):
    assert serving().post("/graph", json={"add": [["Steyr", "located_in", "Austria"]]}).status_code == 405


def test_what_is_added_counts_at_once_and_what_is_removed_no_more(serving):
    client = serving(allow_edits=True)
    text, edge = "The parcel to Zorptown never arrived.", ["Zorptown", "located_in", "Peru"]
    ask = {"texts": [text]}
    done = client.post("/graph", json={"add": [edge]}).json()
    assert (done["added"], done["new_entities"]) == (1, 1)
    assert client.post("/predict", json=ask).json()["predictions"][0]["prediction"] == "andes"
    failed = client.post("/graph", json={"remove": [edge], "add": [["a", "b\n", "c"]]})
    assert failed.status_code == 422
    absent = client.post("/graph", json={"remove": [edge, ["Wels", "located_in", "Peru"]]})
    assert absent.status_code == 400
    assert client.get("/graph/Zorptown").json()["triples"]
    assert client.post("/graph", json={"remove": [edge]}).json()["removed"] == 1
    assert client.post("/explain", json=ask).json()["explanations"][0]["evidence"] == []
    assert client.get("/graph/Zorptown").json()["triples"] == []


def test_without_the_key_nothing_is_told(serving):
    client = serving(api_key="k" * 20)
    requests = [
        ("POST", "/predict", {"texts": []}),
        ("GET", "/graph/Austria", None),
        ("GET", "/metrics", None),
    ]
    for method, path, body in requests:
        for headers in ({}, {"Authorization": "Bearer " + "j" * 20}, {"Authorization": "Basic a"}):
            refused = client.request(method, path, json=body, headers=headers)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
        right = client.request(method, path, json=body, headers={"Authorization": "Bearer " + "k" * 20})
        assert right.status_code == 200
    assert client.get("/health").json() == {"status": "ok"}


def test_a_name_that_is_not_this_computers_is_refused(serving):
    client = serving()
    for host in ("evil.example", "evil.example:8000", "[::2]:8000", "[::1].evil.example"):
        assert client.get("/health", headers={"Host": host}).status_code == 400, host
    for host in ("localhost", "localhost:8000", "127.0.0.1:1", "[::1]", "[::1]:8000"):
        assert client.get("/health", headers={"Host": host}).status_code == 200, host


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"nonsense", 422, "body.0: JSON decode error"),
        (b'{"texts": "a"}', 422, "body.texts: Input should be a valid list"),
        (b'{"texts": [], "tsk": "a"}', 422, "body.tsk: Extra inputs are not permitted"),
        (b'{"texts": ["a"], "task": "\\ud800"}', 400, "the model has no task"),
        (b'{"texts": ["\\ud800"]}', 400, "texts:1: 'text' holds half a surrogate pair"),
        (b"\xff", 400, "the body cannot be read as JSON: 'utf-8' codec"),
        (b"[" * 100_000, 400, "the body cannot be read as JSON: it is nested too deeply"),
    ],
)
def test_a_bad_body_is_refused_in_words(serving, body, status, error):
    told = serving().post("/predict", content=body, headers={"content-type": "application/json"})
    assert told.status_code == status
    assert error in told.json()["error"]


def test_too_much_is_refused(serving):
    client = serving(max_texts=2, max_body=1000, max_waiting=1)
    assert client.post("/predict", json={"texts": ["a"] * 3}).status_code == 413
    assert client.post("/predict", json={"texts": ["a" * 1000]}).status_code == 413
    chunked = client.post("/predict", content=iter([b"a" * 600] * 2))
    assert (chunked.status_code, "larger than 1,000 bytes" in chunked.json()["error"]) == (413, True)
    busy = client.post("/predict", json={"texts": ["a"] * 2})
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")


def test_an_answer_that_takes_too_long_is_given_up(serving):
    told = serving(timeout=1e-4).post("/explain", json={"texts": TEXTS})
    assert told.status_code in (408, 504)
    assert "too long" in told.json()["error"]


def test_what_breaks_is_logged_without_what_a_client_wrote(serving, routing, monkeypatch, caplog):
    def broken(texts, *_, **__):
        raise ZeroDivisionError(texts[0])

    client = serving()
    monkeypatch.setattr(routing, "predict", broken)
    with caplog.at_level(logging.INFO, "roots_kg.serve"):
        told = client.post("/predict", json={"texts": ["a secret"]})
    assert told.status_code == 500
    failure, request = (json.loads(record.message) for record in caplog.records)
    assert failure["error"] == "ZeroDivisionError"
    assert (request["route"], request["status"], request["id"]) == ("/predict", 500, failure["id"])
    assert request["id"] in told.json()["error"]
    assert "secret" not in caplog.text + told.text


def test_requests_and_batches_are_counted(serving):
    client = serving()
    client.post("/predict", json={"texts": TEXTS})
    client.get("/graph/nowhere")
    told = client.get("/metrics").text
    assert 'roots_requests_total{route="/predict",status="200"} 1.0' in told
    assert 'roots_requests_total{route="/graph/{entity:path}",status="404"} 1.0' in told
    assert 'roots_batch_size_sum{operation="predict"} 3.0' in told
    assert "nowhere" not in told


def test_what_is_served_is_told(serving, encoder):
    told = serving().get("/model").json()
    assert [task["name"] for task in told["tasks"]] == ["routing"]
    assert told["graph"]["triples"] > 40
    assert told["edits"] is False
    from roots_kg.model import RootsModel

    bare = serving(RootsModel(encoder))
    assert bare.get("/model").json()["graph"] is None
    for path, body in (("/predict", {"texts": []}), ("/explain", {"texts": []})):
        assert bare.post(path, json=body).status_code == 400
    assert bare.get("/graph/Austria").status_code == 400


def test_the_page_may_ask_its_own_server_and_nobody_else(serving):
    client = serving()
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "script-src 'sha256-" in policy
    assert "http://" not in page.text.replace("http://www.w3.org/2000/svg", "")
    assert "innerHTML" not in page.text
    assert client.get("/health").headers["x-content-type-options"] == "nosniff"


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(UsageError, match="max_batch must be at least 1"):
        ServeConfig(max_batch=0)
    with pytest.raises(UsageError, match="timeout must be above 0"):
        ServeConfig(timeout=0)


DEEP = b"[" * 300_000
BODIES = {
    "nested deeply": DEEP + b"]" * 300_000,
    "nested deeply and not closed": DEEP,
    "nested deeply where a text belongs": b'{"texts": [{"text": ' + DEEP + b"]" * 300_000 + b"}]}",
    "nested deeply in a prompt": b'{"prompt": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "half a surrogate pair": b'{"texts": ["\\ud800"]}',
    "half a pair in a line": b'{"texts": [{"text": "\\ud800"}]}',
    "half a pair as a key": b'{"\\ud800": 1}',
    "half a pair in a prompt": b'{"prompt": "\\udfff"}',
    "half a pair to stop at": b'{"prompt": "a", "stop": ["\\ud800"]}',
    "half a pair in a triple": b'{"add": [["a\\ud800", "located_in", "Austria"]]}',
    "NaN": b'{"texts": [NaN]}',
    "NaN in a line": b'{"texts": [{"text": NaN}]}',
    "NaN as a temperature": b'{"prompt": "a", "temperature": NaN, "sample": true}',
    "infinity": b'{"prompt": "a", "top_p": Infinity}',
    "infinite tokens": b'{"prompt": "a", "max_new_tokens": 1e999}',
    "a seed beyond measure": b'{"prompt": "a", "seed": ' + b"9" * 400 + b"}",
    "a number of 100,000 digits": b'{"texts": [' + b"9" * 100_000 + b"]}",
    "a text in place of texts": b'{"texts": "a"}',
    "a mapping in place of texts": b'{"texts": {"0": "a"}}',
    "a truth": b'{"texts": [true]}',
    "null": b"null",
    "nothing": b"",
    "a list": b'["texts"]',
    "a number": b"1",
    "not UTF-8": b'{"texts": ["\xff"]}',
    "a huge text": b'{"texts": ["' + b"a" * 1_100_000 + b'"]}',
    "too many texts": b'{"texts": [' + b'"a",' * 200_000 + b'"a"]}',
    "a task that is none": b'{"texts": ["a"], "task": "\\ud800"}',
    "a triple of numbers": b'{"add": [[1, 2, 3]]}',
    "a pair": b'{"add": [["a", "b"]]}',
}


@pytest.mark.parametrize("path", ["/predict", "/explain", "/encode", "/generate", "/graph"])
def test_a_hostile_body_is_refused_in_words_and_never_an_error_of_the_server(serving, path):
    client = serving(allow_edits=True)
    for name, body in BODIES.items():
        answer = client.post(path, content=body, headers={"content-type": "application/json"})
        assert 400 <= answer.status_code < 500, (name, answer.status_code)
        told = answer.json()
        assert told["error"], name
        assert len(answer.content) < 1_000, name
        assert "There was an error" not in told["error"], name
    assert client.get("/ready").status_code == 200


def test_a_body_that_stops_the_parser_is_refused_with_the_reason(serving):
    client = serving()
    for name, reason in (
        ("nested deeply", "the body cannot be read as JSON: it is nested too deeply"),
        ("not UTF-8", "the body cannot be read as JSON: 'utf-8' codec"),
        ("a number of 100,000 digits", "the body cannot be read as JSON: Exceeds the limit"),
    ):
        answer = client.post("/predict", content=BODIES[name], headers={"content-type": "application/json"})
        assert answer.json()["error"].startswith(reason)


@pytest.mark.parametrize(("length", "status"), [("9" * 5_000, 413), ("0" * 5_000 + "14", 200), ("-1", 200)])
def test_a_stated_length_beyond_measure_is_no_error_of_the_server(serving, length, status):
    headers = {"content-type": "application/json", "content-length": length}
    assert serving().post("/predict", content=b'{"texts":["a"]}', headers=headers).status_code == status


def test_a_name_in_the_address_that_is_none_is_not_found(serving):
    client = serving()
    for name in ("%ED%A0%80", "%00", "%ff", "a" * 5_000):
        assert client.get(f"/graph/{name}").status_code == 404
    for query in ("hops=" + "9" * 5_000, "hops=NaN", "limit=-1", "limit=1e9"):
        assert client.get(f"/graph/Graz?{query}").status_code == 422
