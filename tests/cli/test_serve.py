"""`roots serve` as a process: it answers, stops politely, and refuses what would let others in."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest


def test_it_serves_until_it_is_told_to_stop(small_model):
    command = [sys.executable, "-m", "roots_kg", "serve", str(small_model), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().split()[0]
        assert url.startswith("http://127.0.0.1:")
        body = json.dumps({"texts": ["The parcel to Wels never arrived."]}).encode()
        request = urllib.request.Request(f"{url}predict", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.load(answer)["predictions"][0]["prediction"] == "central"
        process.send_signal(signal.SIGTERM)
        _, logged = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM)
    line = json.loads(logged.splitlines()[-1])
    assert (line["route"], line["status"]) == ("/predict", 200)
    assert "Wels" not in logged
    assert "Traceback" not in logged


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_others_are_let_in_with_a_key_alone(roots, small_model, host):
    result = roots("serve", small_model, "--host", host)
    assert result.code == 2
    assert f"{host} can be reached by others (give --api-key-file" in result.err


@pytest.mark.parametrize("key", ["", "short", "two words of a long key", "a" * 20 + "\nb", "ü" * 20])
def test_a_key_that_is_none_is_refused(roots, small_model, tmp_path, key):
    (tmp_path / "key").write_text(key, encoding="utf-8")
    result = roots("serve", small_model, "--api-key-file", tmp_path / "key")
    assert result.code == 1
    assert f"{tmp_path / 'key'}: " in result.err
    assert roots("serve", small_model, "--api-key-file", tmp_path / "none").code == 1


def test_a_port_that_is_taken_is_told(roots, small_model):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = roots("serve", small_model, "--port", port)
    assert result.code == 2
    assert f"cannot listen on 127.0.0.1, port {port}" in result.err


def test_a_model_that_is_not_there_is_told(roots, tmp_path):
    result = roots("serve", tmp_path / "none", "--port", 0)
    assert (result.code, "there is no such model folder" in result.err) == (2, True)


def test_a_block_list_that_cannot_be_used_is_told_before_the_model_is_loaded(roots, tmp_path):
    (tmp_path / "blocked.txt").write_text("# nothing", encoding="utf-8")
    result = roots("serve", tmp_path / "none", "--port", 0, "--block-list", tmp_path / "blocked.txt")
    assert (result.code, "there is no phrase in this block list" in result.err) == (1, True)
