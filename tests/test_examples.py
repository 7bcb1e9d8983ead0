"""The examples run, alone and quickly, and say what they should; those for MPI under mpiexec."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import cdq

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(cdq.__file__).parents[1]),
    "PYTHONIOENCODING": "utf-8",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",  # as --oversubscribe; MPICH knows neither, needs none
}
MPIEXEC = str(Path(sys.executable).with_name("mpiexec"))

SAID = {
    "acrobot.py": ["mean return -8", "after       500,"],
    "cartpole.py": ["mean return 500.0", "steps, "],
    "lunar_lander.py": ["mean return ", "after       20,000 steps"],
    "mountain_car.py": ["mean return -1", " steps, ", "in the valley, at rest, push "],
    "tictactoe.py": ["second +0", "first seat against random: 9", "Nim 7, 7, 7: 511 of 511 positions"],
    "blackjack.py": ["mean return -0.0", "hands alike", "with 16 against a 7: hit"],
    "cooperation.py": ["q-learning              0 of 10", "Hysteretic(beta=0.01)  10 of 10"],
    "fleet_of_poles.py": ["alone                     2", "beside all                3"],
    "frozenlake_threads.py": ["· → ↓ ·", "mean return", "gap           at most"],
    "numba_chain.py": ["million steps/s; an episode takes 63 steps, the shortest way 63"],
    "highway.py": [
        "acts at random       1",
        "slows down            0 collisions on 20 roads, 20.0 m/s",
        f"{'plans':20}  ",  # fewer than 10 collisions
    ],
    "routes.py": ["104 goals: 1.000 of 10,712 routes are shortest", "20 steps, the shortest way 20"],
    "collecting_robot.py": ["0.96 of the best possible, at once; 0.88 by the best task alone"],
    "csv_log.py": ["new: run\ngood: run\nworn: repair\nbroken: repair\n"],
    "inventory.py": ["99,856 rows in orders.csv", "with nothing left, order both; with 100 of each, nothing"],
    "shop.py": [
        "with 2 pieces left, order 6 where they are cheap and 0 where they are dear",
        "table 9ae6e3ea99",
    ],
    "routing.py": [
        "1.5 packets a tick: shortest ways take 4.7 ticks, ",
        "learnt ones take 5.",
        "3.0 packets a tick",
    ],
    "traffic.py": ["a fixed cycle           3", "the longest queue       23", "one table     10,000    23"],
    "taxi_zmq.py": ["mean return 8.", "processes: table "],
    "textbook_mpi.py": ["1 ranks, 50,000 steps: error 0.075"],
    "taxi_mpi.py": ["workers 1, mean return 8.", "gap ", "table "],
}
# There is no wheel of box2d for later Pythons.
HERE = [name for name in SAID if name != "lunar_lander.py" or sys.version_info < (3, 14)]
SHORT = {"lunar_lander.py": ["20000"]}  # a run of fewer steps
# Ranks may be more than the cores of the machine: that they are warned of.
WARNINGS = ["-W", "error", "-W", "ignore::RuntimeWarning"]
SCRIPT = EXAMPLES / "taxi.slurm"
# What a run of some seconds says where standard error is no terminal.
PROGRESS = re.compile(r"cdq: [\w./-]+: .* steps.*")
VIDEO = "record_video.py"
ENGINES = ["ray_workers.py", "dask_workers.py"]  # which .ci/check_engines.py runs
KERAS = "keras_minatar.py"  # tests/keras runs it, and the page on Keras shows it


def run(name: str, directory: Path, *launcher: str, before: str = "") -> str:
    """Run an example, in short where it takes a while; packages of the folder *before* come first."""
    result = subprocess.run(
        [*launcher, sys.executable, *WARNINGS, str(EXAMPLES / name), *SHORT.get(name, [])],
        cwd=directory,
        env={**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, [before, ENVIRONMENT["PYTHONPATH"]]))},
        capture_output=True,
        encoding="utf-8",
        timeout=200,
        check=False,
    )
    wrong = [line for line in result.stderr.splitlines() if not PROGRESS.fullmatch(line)]
    assert (result.returncode, wrong) == (0, [])
    return result.stdout


def pictures(name: str, folder: Path) -> list[Path]:
    return [path for path in folder.glob(f"{Path(name).stem}.*") if path.suffix in {".svg", ".png"}]


def test_every_example_is_here() -> None:
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted([*SAID, VIDEO, *ENGINES, KERAS])


@pytest.mark.parametrize("name", HERE)
def test_example(name: str, tmp_path: Path) -> None:
    said = run(name, tmp_path)
    assert [text for text in SAID[name] if text not in said] == []
    (picture,) = pictures(name, tmp_path)
    assert picture.stat().st_size > 10_000


@pytest.mark.parametrize("name", [*SAID, VIDEO])
def test_the_page_shows_an_example_with_its_picture(name: str) -> None:
    """`python -m docs.draw_examples` draws it; programs that fit a page are read."""
    (picture,) = pictures(name, ROOT / "docs/pictures/examples")
    page = (ROOT / "docs/examples.md").read_text(encoding="utf-8")
    assert f"pictures/examples/{picture.name}" in page
    assert f"```{{literalinclude}} ../examples/{name}" in page
    assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) <= 80


def test_the_video_example_hands_over_every_frame(tmp_path: Path) -> None:
    """A stand-in takes the frames: moviepy brings 165 MB of ffmpeg."""
    folder = tmp_path / "first/moviepy/video/io"
    folder.mkdir(parents=True)
    for package in (folder, *folder.parents[:2]):
        (package / "__init__.py").touch()  # or an installed moviepy would come first
    (folder / "ImageSequenceClip.py").write_text(
        "from pathlib import Path\n"
        "class ImageSequenceClip:\n"
        "    def __init__(self, frames, fps):\n"
        "        self.said = f'{len(frames)} frames of {frames[0].shape}'\n"
        "    def write_videofile(self, path, logger):\n"
        "        Path(path).write_text(self.said)\n"
    )
    said = run(VIDEO, tmp_path, before=str(tmp_path / "first"))
    steps = int(re.findall(r"maze-episode-0\.mp4: (\d+) steps to the goal", said)[0])
    video = (tmp_path / "videos/maze-episode-0.mp4").read_text()
    assert video.startswith(f"{steps + 1} frames of (")
    assert video.endswith(", 3)")


def test_the_mpi_example_under_mpiexec(tmp_path: Path) -> None:
    """One rank tells, and the table is that of as many threads."""
    said = run("taxi_mpi.py", tmp_path, MPIEXEC, "-n", "3")
    threads = cdq.QLearner("Taxi-v4", workers=3, seed=0).learn(8_000_000)
    assert said.count("workers 3, mean return 8.") == 1
    assert threads.table.digest() in said


def test_the_zmq_example_learns_what_threads_do(tmp_path: Path) -> None:
    tables = re.findall(r"table (\w{64})", run("taxi_zmq.py", tmp_path))
    assert len(tables) == 2
    assert len(set(tables)) == 1


def test_the_mpi_example_as_processes_of_a_hub(tmp_path: Path) -> None:
    """The same script, started by cdq launch."""
    cdq_itself = [sys.executable, "-c", "import sys; from cdq.cli import main; sys.exit(main())"]
    said = run("taxi_mpi.py", tmp_path, *cdq_itself, "launch", "-n", "2")
    threads = cdq.QLearner("Taxi-v4", workers=2, seed=0).learn(8_000_000)
    assert said.count("workers 2, mean return 8.") == 1
    assert threads.table.digest() in said


@pytest.mark.parametrize("page", ["README.md", "docs/mpi.md"])
def test_the_script_for_slurm_is_the_one_on_the_page(page: str) -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    assert SCRIPT.read_text() in blocks


def test_the_mpi_example_is_the_one_in_the_tutorial() -> None:
    assert (EXAMPLES / "taxi_mpi.py").read_text() in (ROOT / "docs/mpi.md").read_text()


# ---- the script for Slurm, with an srun that starts two ranks and an scontrol that takes notes


def write_program(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    train = "import sys; from cdq.cli import main; sys.exit(main())"
    write_program(
        tmp_path / ".venv/bin/cdq",
        f'echo $$ >> ranks; exec {shlex.quote(sys.executable)} -c "{train}" "$@"',
    )
    write_program(tmp_path / "bin/srun", f'shift; exec {shlex.quote(MPIEXEC)} -n 2 "$@"')
    write_program(tmp_path / "bin/scontrol", 'echo "$@" >> requeued')
    return tmp_path


def heeds_sigterm(pid: str) -> bool:
    """Return whether a process has a handler for it, as it does while it learns."""
    caught = re.search(r"^SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def part(queue: Path) -> int:
    """Run the script until the warning that time is up comes to its ranks; return how far they came."""
    started = queue / "ranks"
    started.write_text("")
    with subprocess.Popen(
        ["bash", str(SCRIPT)],
        cwd=queue,
        env={**ENVIRONMENT, "SLURM_JOB_ID": "7", "PATH": f"{queue / 'bin'}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as script:
        while script.poll() is None and sum(map(heeds_sigterm, started.read_text().split())) < 2:
            time.sleep(0.05)
        time.sleep(1.0)  # they learn
        if script.poll() is None:
            for rank in started.read_text().split():
                os.kill(int(rank), signal.SIGTERM)
        said, _ = script.communicate(timeout=30)
    assert script.returncode == 0, said
    return max(int(path.stem.partition("-")[2]) for path in queue.glob("taxi/checkpoint-*.safetensors"))


def test_the_script_for_slurm_goes_on_where_it_was_ended(queue: Path) -> None:
    first, second = part(queue), part(queue)
    assert 0 < first < second
    assert (queue / "requeued").read_text() == "requeue 7\n" * 2
    assert not (queue / "taxi.json").exists()


def test_the_script_for_slurm_ends_when_the_steps_are_done(queue: Path) -> None:
    short = queue / "short.slurm"
    short.write_text(SCRIPT.read_text().replace("1e12", "1e5"))
    environment = {**ENVIRONMENT, "PATH": f"{queue / 'bin'}:{os.environ['PATH']}"}
    subprocess.run(
        ["bash", str(short)], cwd=queue, env=environment, capture_output=True, timeout=60, check=True
    )
    assert (queue / "taxi.json").exists()
    assert not (queue / "requeued").exists()
