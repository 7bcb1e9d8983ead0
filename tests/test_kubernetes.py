"""The examples for Kubernetes, and the page's for AWS Batch, are valid; their commands run on this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

import cdq
from cdq.comm.zmq.keys import allow, keygen
from tests.comm.zmq.meetings import aws_batch, free_port
from tests.shown import ROOT, blocks
from tests.test_examples import ENVIRONMENT, EXAMPLES, MPIEXEC, write_program

FOLDER = EXAMPLES / "kubernetes"
FILES = {path.name: list(yaml.safe_load_all(path.read_text())) for path in sorted(FOLDER.glob("*.yaml"))}
DOCUMENTS = [
    pytest.param(document, id=f"{name}-{document['kind']}-{number}")
    for name, documents in FILES.items()
    for number, document in enumerate(documents)
    if document["kind"] != "MPIJob"
]
VERSIONS = ["1.30", "1.34"]

_COUNT = {"type": "integer", "minimum": 0}
_REPLICAS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["replicas", "template"],
    "properties": {
        "replicas": _COUNT,
        "restartPolicy": {"enum": ["Never", "OnFailure", "Always", "ExitCode"]},
        "template": {"type": "object"},  # a pod's, which is checked as one
    },
}
# The fields of an MPIJob of kubeflow.org/v2beta1, as its operator defines them.
MPIJOB = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "kubeflow.org/v2beta1"},
        "kind": {"const": "MPIJob"},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["mpiReplicaSpecs"],
            "properties": {
                "slotsPerWorker": _COUNT,
                "runLauncherAsWorker": {"type": "boolean"},
                "sshAuthMountPath": {"type": "string"},
                "launcherCreationPolicy": {"enum": ["AtStartup", "WaitForWorkersReady"]},
                "mpiImplementation": {"enum": ["OpenMPI", "Intel", "MPICH"]},
                "runPolicy": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "cleanPodPolicy": {"enum": ["Running", "All", "None"]},
                        "ttlSecondsAfterFinished": _COUNT,
                        "activeDeadlineSeconds": _COUNT,
                        "backoffLimit": _COUNT,
                        "suspend": {"type": "boolean"},
                        "managedBy": {"type": "string"},
                        "schedulingPolicy": {"type": "object"},
                    },
                },
                "mpiReplicaSpecs": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["Launcher", "Worker"],
                    "properties": {"Launcher": _REPLICAS, "Worker": _REPLICAS},
                },
            },
        },
    },
}


# ---- valid


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_kubernetes_knows_is_valid(document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def mpijob() -> dict[str, Any]:
    (found,) = (document for document in FILES["mpijob.yaml"] if document["kind"] == "MPIJob")
    return dict(found)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_job_of_mpi_is_valid(version: str) -> None:
    jsonschema.validate(mpijob(), MPIJOB)
    for name, replicas in mpijob()["spec"]["mpiReplicaSpecs"].items():
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name.lower()}, **replicas["template"]}
        kubernetes_validate.validate(pod, version, strict=True)


@pytest.mark.parametrize("fault", ["name", "field", "value"])
def test_faults_of_a_job_of_mpi_are_found(fault: str) -> None:
    wrong = json.loads(json.dumps(mpijob()))
    if fault == "name":
        wrong["spec"]["mpiReplicaSpecs"]["Workers"] = wrong["spec"]["mpiReplicaSpecs"].pop("Worker")
    elif fault == "field":
        wrong["spec"]["cleanPodPolicy"] = "Running"  # its place of former versions
    else:
        wrong["spec"]["launcherCreationPolicy"] = "WaitForWorkers"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, MPIJOB)


def jobs() -> Iterator[dict[str, Any]]:
    for documents in FILES.values():
        yield from (document["spec"] for document in documents if document["kind"] == "Job")


def test_what_the_schema_does_not_say_of_jobs_holds() -> None:
    """Kubernetes refuses a pod failure policy without Never, and takes a status of 0 for done."""
    for job in jobs():
        pod = job["template"]["spec"]
        assert pod["restartPolicy"] == ("Never" if "podFailurePolicy" in job else "OnFailure")
        (container,) = pod["containers"]
        assert container["command"][2].startswith("trap '' TERM; exec cdq ")
        assert job.get("completions") == job.get("parallelism")
        known = {volume["name"] for volume in pod["volumes"]}
        for one in (container, *pod.get("initContainers", [])):
            assert {mount["name"] for mount in one["volumeMounts"]} <= known


def test_services_are_known_before_pods_are_ready_and_select_them() -> None:
    for documents in FILES.values():
        labels = [
            document["spec"]["template"]["metadata"]["labels"]
            for document in documents
            if document["kind"] == "Job"
        ]
        for document in documents:
            if document["kind"] == "Service":
                assert document["spec"]["publishNotReadyAddresses"] is True
                assert document["spec"]["clusterIP"] == "None"
                assert document["spec"]["selector"] in labels


# ---- the commands, on this machine


class Cluster:
    """Containers as processes: their paths are in a folder, their addresses on loopback."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self._started: list[subprocess.Popen[str]] = []
        python = f"exec {sys.executable}"
        write_program(
            folder / "bin/cdq", f'{python} -c "import sys; from cdq.cli import main; sys.exit(main())" "$@"'
        )
        write_program(folder / "bin/mpirun", f'exec {MPIEXEC} "$@"')
        for name in ("job", "keys", "secret"):
            (folder / name).mkdir()

    def here(self, text: str) -> str:
        """Return a command with the paths and addresses of this machine, and fewer steps."""
        text = re.sub(r"(?<![\w.])/(keys|job|secret)\b", rf"{self.folder}/\1", text)
        text = re.sub(r"(?:0\.0\.0\.0|cdq-hub):5555", f"127.0.0.1:{self.port}", text)
        return text.replace("4e7", "2e6")

    def start(self, container: dict[str, Any], **variables: str) -> subprocess.Popen[str]:
        """Start a container's command with its environment."""
        told = {entry["name"]: self.here(entry["value"]) for entry in container.get("env", [])}
        usual = {name: value for name, value in ENVIRONMENT.items() if not name.startswith("CDQ_")}
        process = subprocess.Popen(
            [self.here(argument) for argument in container["command"]],
            cwd=self.folder,
            env={**usual, **told, **variables, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def run(self, container: dict[str, Any]) -> None:
        process = self.start(container)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said

    def kill(self) -> None:
        for process in self._started:
            with_children = os.getpgid(process.pid) if process.poll() is None else None
            if with_children is not None:
                os.killpg(with_children, signal.SIGKILL)
            process.communicate()

    def wait_for(self, pattern: str) -> None:
        until = time.monotonic() + 60.0
        while not list(self.folder.glob(pattern)):
            assert time.monotonic() < until, pattern
            time.sleep(0.02)

    def report(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "job/report.json").read_text()))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.kill()


def container(file: str, name: str, first: bool = False) -> dict[str, Any]:
    """Return the container of a Job, or what comes first in its pods."""
    (job,) = (one for one in FILES[file] if one["kind"] == "Job" and one["metadata"]["name"] == name)
    (found,) = job["spec"]["template"]["spec"]["initContainers" if first else "containers"]
    return dict(found)


def ended(process: subprocess.Popen[str], seconds: float = 120.0) -> tuple[int, str]:
    said, _ = process.communicate(timeout=seconds)
    return process.returncode, said


@pytest.mark.slow
def test_the_hub_goes_on_while_a_worker_and_the_hub_are_killed_and_one_is_late(cluster: Cluster) -> None:
    make_keys(cluster.folder / "secret")
    for job in ("cdq-hub", "cdq-workers"):
        cluster.run(container("hub.yaml", job, first=True))
    worker, hub_container = container("hub.yaml", "cdq-workers"), container("hub.yaml", "cdq-hub")
    early = [
        cluster.start(worker, JOB_COMPLETION_INDEX=str(index)) for index in (0, 1)
    ]  # before the hub is there
    hub = cluster.start(hub_container)
    cluster.wait_for("job/taxi/contributions-*")
    os.kill(early[1].pid, signal.SIGTERM)  # a node is drained: it is not heeded
    time.sleep(0.2)
    assert early[1].poll() is None
    early[1].kill()
    again = cluster.start(worker, JOB_COMPLETION_INDEX="1")  # as the Job does
    late = cluster.start(worker, JOB_COMPLETION_INDEX="2")
    hub.kill()
    assert ended(hub)[0] == -signal.SIGKILL
    hub = cluster.start(hub_container)
    assert ended(hub)[0] == 0
    assert [ended(process)[0] for process in (early[0], again, late)] == [0, 0, 0]
    told = cluster.report()
    assert told["steps"] // 1000 == 2_000
    replayed = cluster.start({"command": ["cdq", "replay", "/job/taxi"]})
    status, said = ended(replayed)
    assert (status, told["digest"] in said) == (0, True)


def make_keys(secret: Path) -> None:
    """Make the Secrets, as the page does."""
    keys = secret / "made"
    keygen(keys / "hub")
    for number in range(3):
        public = keygen(keys / f"worker-{number}")
        shutil.copy(keys / "hub/own.public", public.with_name("hub.public"))
        allow(keys / "hub", public, f"worker-{number}")
    workers = [f"worker-{number}" for number in range(3)]
    for name, folders in (("hub", ["hub"]), ("workers", workers)):
        subprocess.run(["tar", "-C", keys, "-cf", secret / f"{name}.tar", *folders], check=True)


@pytest.mark.slow
def test_ranks_of_an_indexed_job_learn_what_threads_do(cluster: Cluster) -> None:
    """One is killed, the others end; all are started again, and go on from the checkpoint."""
    (job,) = (one["spec"] for one in FILES["indexed.yaml"] if one["kind"] == "Job")
    mount_secret(
        job["template"]["spec"]["volumes"], keygen(cluster.folder / "made", job=True).parent, cluster
    )
    rank = container("indexed.yaml", "cdq-ranks")
    there = {"CDQ_HUB": "127.0.0.1", "CDQ_PORT": str(cluster.port)}
    sizes = {entry["name"]: entry["value"] for entry in rank["env"]}
    assert int(sizes["CDQ_SIZE"]) == job["completions"]
    assert sizes["CDQ_HUB"] == f"cdq-ranks-0.{job['template']['spec']['subdomain']}"
    indices = [str(index) for index in range(job["completions"])]
    first = [cluster.start(rank, JOB_COMPLETION_INDEX=index, **there) for index in indices]
    cluster.wait_for("job/taxi/checkpoint-*")
    first[1].kill()
    assert [ended(process)[0] for process in first] == [2, -signal.SIGKILL, 2]
    again = [cluster.start(rank, JOB_COMPLETION_INDEX=index, **there) for index in indices]
    results = [ended(process) for process in again]
    assert [status for status, _ in results] == [0, 0, 0], results
    told = cluster.report()
    assert (told["steps"] // 1000, told["workers"]) == (2_000, 3)


def mount_secret(volumes: list[dict[str, Any]], made: Path, cluster: Cluster) -> None:
    """Put a Secret of the files of a directory where a volume's items say, with its mode."""
    (secret,) = (volume["secret"] for volume in volumes if "secret" in volume)
    for item in secret["items"]:
        path = cluster.folder / "keys" / item["path"]
        path.parent.mkdir(exist_ok=True)
        shutil.copy(made / item["key"], path)
        path.chmod(secret["defaultMode"])


@pytest.mark.slow
def test_ranks_of_mpi_learn_what_threads_do(cluster: Cluster) -> None:
    spec = mpijob()["spec"]
    (launcher,) = spec["mpiReplicaSpecs"]["Launcher"]["template"]["spec"]["containers"]
    command = launcher["command"]
    workers = spec["mpiReplicaSpecs"]["Worker"]["replicas"] * spec["slotsPerWorker"]
    assert command[:3] == ["mpirun", "-n", str(workers)]
    status, said = ended(cluster.start(launcher))
    assert status == 0, said
    told = cluster.report()
    table = cdq.QLearner("Taxi-v4", workers=workers, seed=0).learn(2_000_000).table
    assert (told["workers"], told["digest"]) == (workers, table.digest())


@pytest.mark.slow
def test_nodes_of_aws_batch_learn_what_threads_do(cluster: Cluster) -> None:
    (definition,) = map(json.loads, blocks(ROOT / "docs/clusters.md", "json"))
    assert definition["type"] == "multinode"
    (nodes,) = definition["nodeProperties"]["nodeRangeProperties"]
    container = {"command": nodes["container"]["command"], "env": nodes["container"]["environment"]}
    keygen(cluster.folder / "job/keys", job=True)
    results = [cluster.start(container, **aws_batch(rank, 3, cluster.port)) for rank in range(3)]
    said = [ended(process) for process in results]
    assert [status for status, _ in said] == [0, 0, 0], said
    table = cdq.QLearner("Taxi-v4", workers=3, seed=0).learn(2_000_000).table
    assert cdq.QLearner.resume(cluster.folder / "job/taxi", comm="inprocess").table.digest() == table.digest()


def test_the_page_starts_the_examples_of_ray_and_dask() -> None:
    """`.ci/check_engines.py` runs them with such arguments."""
    commands = "".join(blocks(ROOT / "docs/clusters.md", "sh")).splitlines()
    started = [line.split()[1:] for line in commands if line.startswith("python ")]
    assert [(ROOT / path).is_file() for path, _, _ in started] == [True, True]
    assert {(url, workers) for _, url, workers in started} == {("tcp://127.0.0.1:5555", "2")}
