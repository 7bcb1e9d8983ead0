from __future__ import annotations

import logging
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from cdq.comm import registry
from cdq.comm.inprocess import InProcessCommunicator
from cdq.errors import BackendUnavailable, ConfigError


class Foreign(InProcessCommunicator):
    """A communicator of another package."""


class Outdated(InProcessCommunicator):
    API_VERSION = 0


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "foreign": f"{__name__}:Foreign",
        "outdated": f"{__name__}:Outdated",
        "function": "cdq.comm.inprocess:connect",
        "broken": "no_such_package.comm:Communicator",
        "misspelt": "cdq.comm.inprocess:Comunicator",
        "inprocess": f"{__name__}:Outdated",
    }
    all_of_them = [EntryPoint(name, value, registry.GROUP) for name, value in values.items()]
    monkeypatch.setattr(registry, "entry_points", lambda **wanted: EntryPoints(all_of_them).select(**wanted))


def test_connects_by_name_and_by_url() -> None:
    for url in ("inprocess", "inprocess://"):
        comms = registry.connect(url, workers=3, timeout=2)
        assert [(comm.rank, comm.size, comm.timeout) for comm in comms] == [
            (rank, 3, 2.0) for rank in range(3)
        ]


def test_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown communicator 'inproces'; known: auto, .*Did you mean 'inprocess'\?"
    ):
        registry.connect("inproces")


def test_what_in_process_cannot_do() -> None:
    with pytest.raises(ConfigError, match="no address in a process"):
        registry.connect("inprocess://elsewhere:7000", workers=2)
    with pytest.raises(ConfigError, match="workers is 0"):
        registry.connect("inprocess", workers=0)
    with pytest.raises(ConfigError, match="timeout is 0"):
        registry.connect("inprocess", timeout=0)


@pytest.mark.usefixtures("installed")
def test_entry_points_come_after_built_in_names() -> None:
    assert registry.load("foreign") is Foreign
    assert registry.load("inprocess") is InProcessCommunicator
    assert registry.names() == ["broken", "foreign", "function", "inprocess", "misspelt", "outdated"]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("broken", "No module named 'no_such_package'; try: pip install"),
        ("misspelt", "has no attribute 'Comunicator'"),
        ("outdated", "has API_VERSION 0, this cdq needs 1"),
        ("function", "is not a subclass of cdq.comm.Communicator"),
    ],
)
def test_what_does_not_load_is_unavailable(name: str, why: str) -> None:
    with pytest.raises(BackendUnavailable, match=why):
        registry.connect(name)


def test_auto_takes_the_environments_choice(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "cdq")
    monkeypatch.delenv(registry.VARIABLE, raising=False)
    assert isinstance(registry.connect()[0], InProcessCommunicator)
    monkeypatch.setenv(registry.VARIABLE, "nowhere://hub:1")
    with pytest.raises(ConfigError, match="unknown communicator 'nowhere'"):
        registry.connect("auto")
    assert [record.getMessage() for record in caplog.records] == [
        "communicator: inprocess, as CDQ_COMM is not set",
        "communicator: nowhere://hub:1, named by CDQ_COMM",
    ]


def test_importing_loads_no_implementation() -> None:
    code = "import sys, cdq.comm; print([m for m in sys.modules if 'inprocess' in m or m == 'pytest'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
