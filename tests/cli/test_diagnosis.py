"""cdq doctor: what it tells, what it advises where MPI is broken, and that it leaves no process behind."""

from __future__ import annotations

import json
import math
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import cdq
from cdq.cli import main
from cdq.cli.diagnosis import checks, facts, installation, processes, trial
from cdq.cli.diagnosis.processes import Answer, ask
from cdq.cli.diagnosis.trial import check_mpi, check_zmq
from cdq.comm.node import Place
from tests.running import left

NAMES = [
    *(
        "cdq",
        "compiled by",
        "Python",
        "NumPy",
        "Gymnasium",
        "safetensors",
        "system",
        "processor",
        "loops",
        "cores",
    ),
    *("huge pages", "shared memory", "mpi4py", "MPI library", "mpiexec", "pyzmq", "communicators"),
]
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


@pytest.fixture
def mpiexec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place beside this Python for an mpiexec; what stands there is the first that is found."""
    python = tmp_path / "python"
    write_script(python, f'exec {sys.executable} "$@"')
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(processes, "_GRACE", 0.3)
    # A process of Open MPI that no mpiexec started leaves its segment in /dev/shm.
    monkeypatch.setenv("OMPI_MCA_btl", "^sm")
    return tmp_path / "mpiexec"


def write_script(path: Path, body: str) -> None:
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "mpiexec of the tests 1.0" && exit\n{body}\n')
    path.chmod(0o755)


# ---- facts


def test_every_fact_is_told() -> None:
    told = facts()
    assert list(told) == NAMES
    assert [name for name, text in told.items() if not text.strip()] == []
    assert told["cdq"].startswith(cdq.__version__)
    assert "gcc" in told["compiled by"] or "lang" in told["compiled by"]
    assert "for this process" in told["cores"]
    assert "inprocess" in told["communicators"]


def test_the_first_mpiexec_is_the_one_beside_this_python(mpiexec: Path) -> None:
    write_script(mpiexec, "")
    assert facts()["mpiexec"].startswith(f"{mpiexec}, mpiexec of the tests 1.0")


def test_an_mpiexec_is_looked_for_in_the_path_next(mpiexec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = mpiexec.parent / "elsewhere"
    elsewhere.mkdir()
    write_script(elsewhere / "mpiexec", "")
    monkeypatch.setenv("PATH", str(elsewhere))
    assert facts()["mpiexec"].startswith(str(elsewhere / "mpiexec"))


def test_packages_that_are_missing_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "version_of", lambda package: "not installed")
    told = facts()
    assert (told["mpi4py"], told["pyzmq"]) == ("not installed", "not installed")
    assert told["MPI library"] == "none, as mpi4py is not installed"


def test_mpi_is_not_loaded_into_this_process() -> None:
    code = (
        "import sys, cdq.cli.diagnosis; cdq.cli.diagnosis.facts(); "
        "print('mpi4py' in sys.modules, 'zmq' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(("quota", "told"), [(1.5, "a quota of 1.5"), (math.inf, "no quota")])
def test_cores_are_those_that_may_be_used(monkeypatch: pytest.MonkeyPatch, quota: float, told: str) -> None:
    place = Place("node", frozenset({0, 1, 2, 5}), quota)
    monkeypatch.setattr(installation, "here", lambda name: place)
    assert facts()["cores"].endswith(f"in the machine, 4 for this process (0-2, 5), {told}")


# ---- checks


def test_all_backends_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in AS_ROOT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe")  # machines with one core
    results = checks()
    assert [(check.backend, check.state, check.problem) for check in results] == [
        ("inprocess", "OK", ""),
        ("mpi", "OK", ""),
        ("zmq", "OK", ""),
    ]
    assert all(0 < (check.seconds or 0) < 1 for check in results)


def test_a_rank_writes_its_line_at_once() -> None:
    """Where nothing is buffered, too: what is written in parts, another rank's line falls into."""
    code = "from cdq.cli.diagnosis.trial import run_rank; run_rank('nowhere', 10.0)"
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # a write is a datagram
    with ours:
        with its:
            done = subprocess.run([sys.executable, "-u", "-c", code], stdout=its, timeout=60, check=False)
        assert done.returncode == 1
        text = ours.recv(65536).decode()
    assert text.endswith("\n")
    assert "unknown communicator 'nowhere'" in json.loads(text)["error"]


def test_without_mpi4py_there_is_nothing_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "version_of", lambda package: "not installed")
    check = check_mpi(20.0)
    assert check.state == "not installed"
    assert "cdq[mpi-local]" in check.remedy


def test_without_an_mpiexec(mpiexec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(mpiexec.parent))
    check = check_mpi(20.0)
    assert (check.state, check.problem) == (
        "failed",
        "there is no mpiexec beside this Python and none in PATH",
    )
    assert "cdq[mpi-local]" in check.remedy


def test_inside_of_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "0")
    assert "as a single process" in check_mpi(20.0).remedy


@pytest.mark.parametrize(
    ("said", "problem", "remedy"),
    [
        ("prterun has detected an attempt to run as root.", "for root", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"),
        (
            "There are not enough slots available in the system",
            "fewer cores than ranks",
            "OMPI_MCA_mpi_yield_when_idle=1",
        ),
        ("Read -1, expected 4194304, errno = 1", "another one's memory", "OMPI_MCA_smsc=^cma"),
        ("exited on signal 7 (Bus error).", "memory shared by processes", "--shm-size"),
        ("ModuleNotFoundError: No module named 'mpi4py'", "mpi4py is missing", "cdq[mpi-local]"),
        ("ImportError: libmpi.so.40: cannot open shared object", "no MPI library", "cdq[mpi-local]"),
        ('{"error": "CommTimeout: rank 1 did not come"}', "rank 1 did not come", "yield_when_idle"),
        ("something that nobody knew", "something that nobody knew", ""),
        ("", "it said nothing", ""),
    ],
)
def test_what_is_known_of_a_broken_mpiexec(mpiexec: Path, said: str, problem: str, remedy: str) -> None:
    write_script(mpiexec, f"cat >&2 <<'END'\n{said}\nEND\nexit 3")
    check = check_mpi(20.0)
    assert check.state == "failed"
    assert check.problem.startswith("mpiexec ended with status 3: ")
    assert problem in check.problem
    assert remedy in check.remedy
    assert bool(remedy) == bool(check.remedy)


def test_an_mpiexec_that_starts_strangers(mpiexec: Path) -> None:
    write_script(mpiexec, 'shift 2; "$@"; "$@"')
    check = check_mpi(20.0)
    assert check.state == "failed"
    assert "beside this Python" in check.remedy


def test_an_mpiexec_of_another_mpi(mpiexec: Path) -> None:
    write_script(mpiexec, 'shift 2; export PMI_SIZE=2 PMI_RANK=0; "$@"')
    check = check_mpi(20.0)
    assert "the mpiexec of MPICH or Intel MPI started 2 processes" in check.problem
    assert "beside this Python" in check.remedy


def test_ranks_that_disagree_are_found() -> None:
    lines = [json.dumps({"rank": rank, "size": 2, "digest": str(rank), "seconds": 1e-4}) for rank in range(2)]
    check = trial.diagnose("mpi", Answer(0, "\n".join(lines)))
    assert (check.state, check.problem) == (
        "failed",
        "the two ranks learnt different tables; please report this",
    )


@pytest.mark.parametrize("stubborn", [False, True])
def test_an_mpiexec_that_hangs_is_ended_with_all_it_started(mpiexec: Path, stubborn: bool) -> None:
    ignore = "trap '' TERM;" if stubborn else ""
    started = mpiexec.parent / "started"
    write_script(mpiexec, f"{ignore} echo working; sleep 600 & echo $$ $! > {started}; wait")
    check = check_mpi(1.0)
    assert (check.state, check.problem) == (
        "failed",
        "mpiexec did not end in time and was killed: working",
    )
    assert "mpiexec -n 2 hostname" in check.remedy
    assert left(map(int, started.read_text().split())) == []


def test_a_pyzmq_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['zmq'] = None")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    check = check_zmq(20.0)
    assert (check.state, check.problem) == (
        "failed",
        "the hub ended with status 1: pyzmq is missing, or broken",
    )
    assert check.remedy == "pip install 'cdq[zmq]'"


def test_without_pyzmq_there_is_nothing_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "version_of", lambda package: "not installed")
    assert (check_zmq(20.0).state, check_zmq(20.0).remedy) == ("not installed", "pip install 'cdq[zmq]'")


def test_a_command_that_is_not_there() -> None:
    assert ask(["/nowhere/mpiexec"], 1.0) == (127, "/nowhere/mpiexec: No such file or directory")


# ---- the command


def test_the_command_prints_facts_and_verdicts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, mpiexec: Path
) -> None:
    write_script(mpiexec, "echo 'attempt to run as root'; exit 1")
    assert main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert [name for name in NAMES if f"  {name}" not in printed] == []
    assert "inprocess  OK" in printed
    assert "OMPI_ALLOW_RUN_AS_ROOT=1" in printed


def test_the_command_for_machines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "version_of", lambda package: "not installed")
    assert main(["doctor", "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report["facts"]) == NAMES
    assert [(check["backend"], check["state"]) for check in report["checks"]] == [
        ("inprocess", "OK"),
        ("mpi", "not installed"),
        ("zmq", "not installed"),
    ]
    assert report["ok"]
