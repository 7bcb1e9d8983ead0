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


def test_a_url_may_carry_the_timeout() -> None:
    for url in ("inprocess://?timeout=2.5", "inprocess?timeout=2.5"):
        assert [comm.timeout for comm in registry.connect(url, workers=2, timeout=7)] == [2.5] * 2
        assert registry.choose(url) == url
        assert registry.ranks(url, 3) == 3


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("timeout=0", "timeout is '0'; it must be a number of seconds above zero"),
        ("timeout=soon", "timeout is 'soon'"),
        ("timeout=1e300", "timeout is '1e300'; .* and at most 1e"),
        ("timeout=inf", "timeout is 'inf'; .* and at most 1e"),
        ("timeout=1&patience=2", "timeout is '1&patience=2'"),
        ("patience=2", r"unknown parameter 'patience'; the only one is \?timeout=SECONDS"),
    ],
)
def test_what_a_url_may_not_carry(query: str, why: str) -> None:
    for refuses in (registry.connect, registry.choose, registry.ranks):
        with pytest.raises(ConfigError, match=f"communicator 'inprocess://.*': {why}"):
            refuses(f"inprocess://?{query}")


def test_how_many_ranks_there_would_be() -> None:
    assert registry.ranks() == len(registry.connect()) == 1
    assert registry.ranks("inprocess", 5) == 5


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
    foreign = ["broken", "foreign", "function", "misspelt", "outdated"]
    assert registry.names() == sorted([*foreign, "inprocess", "mpi", "zmq"])


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
    caplog.set_level(logging.DEBUG, "cdq")
    registry._tell.cache_clear()
    monkeypatch.delenv(registry.VARIABLE, raising=False)
    for _ in range(3):  # it is told once
        assert isinstance(registry.connect()[0], InProcessCommunicator)
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setenv("PMI_RANK", "1")
    assert registry.choose("auto") == "mpi"
    monkeypatch.setenv(registry.VARIABLE, "nowhere://hub:1")
    with pytest.raises(ConfigError, match="unknown communicator 'nowhere'"):
        registry.connect("auto")
    assert [record.getMessage() for record in caplog.records] == [
        "communicator: inprocess, as CDQ_COMM is not set and no launcher started several processes",
        "communicator: mpi, as the mpiexec of MPICH or Intel MPI started 4 processes",
        "communicator: nowhere://hub:1, named by CDQ_COMM",
    ]
    assert [record.levelname for record in caplog.records] == ["DEBUG", "INFO", "INFO"]


def test_importing_loads_no_implementation() -> None:
    code = """if True:
        import sys, cdq.comm
        print([m for m in sys.modules if any(p in m for p in ("inprocess", "comm.mpi", "mpi4py", "pytest"))])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_communicators_have_the_name_that_they_are_registered_by() -> None:
    for url in ("inprocess", "inprocess://?timeout=5", "auto"):
        assert registry.name_of(url) == "inprocess"
    assert registry.name_of("zmq+ipc:///tmp/hub") == "zmq"
    (comm,) = registry.connect("inprocess")
    assert registry.name_of(comm) == "inprocess"

    class Own(type(comm)):  # type: ignore[misc]
        pass

    assert registry.name_of(Own.__new__(Own)) == "Own"
