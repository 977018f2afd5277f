"""The audit fails where a vulnerability is known, and claims nothing where no service could be asked."""

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

AUDIT = Path(__file__).resolve().parents[1] / ".ci" / "audit"
CLEAN = {"name": "numpy", "version": "2.0", "vulns": []}
BAD = {"name": "old", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["1.1"]}]}
UNKNOWN = {"name": "mine", "skip_reason": "not found"}


@pytest.fixture(scope="module")
def audit():
    loader = SourceFileLoader("audit", str(AUDIT))
    module = module_from_spec(spec_from_loader("audit", loader))
    loader.exec_module(module)
    return module


def service(audit, answered, locked, installed=(CLEAN,), name="osv"):
    """Return a stand-in for pip-audit, one of whose services is there."""

    def ask(asked, *options):
        if asked != name:
            return None
        if "--skip-editable" in options:
            return installed
        return locked if str(audit.LOCK) in options else answered

    return ask


def test_without_a_service_it_says_so_and_passes(audit, capsys):
    for answered in (None, [], [{"name": "pyyaml", "skip_reason": "not found"}], [CLEAN]):
        assert audit.main(service(audit, answered, [CLEAN])) == 0
        assert capsys.readouterr().out == "not audited: no advisory service answered\n"


def test_with_nothing_known_it_passes_and_names_what_the_service_does_not_know(audit, capsys):
    assert audit.main(service(audit, [BAD], [CLEAN, UNKNOWN])) == 0
    assert capsys.readouterr().out == (
        "constraints.txt: 0 known vulnerabilities in 2 packages; unknown to the service: mine\n"
        "the installed environment: 0 known vulnerabilities in 1 packages\n"
    )


@pytest.mark.parametrize(("locked", "installed"), [([BAD], [CLEAN]), ([CLEAN], [BAD])])
def test_a_known_vulnerability_fails_and_is_named(audit, capsys, locked, installed):
    assert audit.main(service(audit, [BAD], locked, installed)) == 1
    assert "  old 1.0: CVE-1, mended in 1.1\n" in capsys.readouterr().out


def test_a_service_that_stops_answering_fails(audit, capsys):
    assert audit.main(service(audit, [BAD], [CLEAN], None)) == 2
    assert "the installed environment: not audited" in capsys.readouterr().err
