"""The nodes that tests run on are machines of their own, and vanish."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import nodes, running

LISTEN = """
import socket, sys
with socket.create_server(("", 5555)) as door:
    print("ready", flush=True)
    end = door.accept()[0]
    for word in end.makefile():
        print(word.strip(), flush=True)
"""
SAY = """
import socket, sys, time
with socket.create_connection((sys.argv[1], 5555)) as end:
    for number in range(int(sys.argv[2])):
        end.sendall(b"%d\\n" % number)
        time.sleep(0.05)
"""


def listen(node: nodes.Node) -> subprocess.Popen[str]:
    server = node.start([sys.executable, "-c", LISTEN], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    return server


def test_each_has_a_name_an_address_and_processes_of_its_own() -> None:
    with nodes.joined(2) as network:
        for node in network.nodes:
            assert node.run(["hostname"]).strip() == node.name
            assert len(node.run(["sh", "-c", "echo /proc/[0-9]*"]).split()) <= 4
            assert node.address in node.run(["ip", "addr"])
            assert node.run(["ls", "/dev/shm"]) == ""
            assert node.run(["pwd"]).strip() == os.getcwd()
            assert any("do cat $process/cmdline" in command for command in node.commands())


def test_a_cut_node_is_heard_again_when_it_is_healed() -> None:
    with nodes.joined(2) as network:
        first, second = network.nodes
        server = listen(first)
        assert server.stdout is not None
        client = second.start([sys.executable, "-c", SAY, first.address, "20"])
        assert server.stdout.readline() == "0\n"
        second.cut()
        time.sleep(0.3)
        assert client.poll() is None
        second.heal()
        assert server.communicate(timeout=20)[0].split() == [str(i) for i in range(1, 20)]
        assert client.wait(20) == 0


def test_a_crash_ends_the_programs_there_and_nobody_else_is_told() -> None:
    with nodes.joined(2) as network:
        first, second = network.nodes
        server = listen(first)
        assert server.stdout is not None
        client = second.start([sys.executable, "-c", SAY, first.address, "1000"])
        assert server.stdout.readline() == "0\n"
        second.crash()
        assert client.wait(10) != 0
        time.sleep(0.2)
        assert server.poll() is None
        nodes.send(server, signal.SIGKILL)
        server.communicate(timeout=10)


def test_nothing_is_left_when_the_tests_are_killed() -> None:
    program = (
        "from tests import nodes\nimport time\n"
        "with nodes.joined(2) as network:\n"
        "    held = [node.pid for node in (network.switch, *network.nodes)]\n"
        "    started = [nodes.children(node.start(['sleep', '100']).pid)[0] for node in network.nodes]\n"
        "    print(*held, *started, flush=True)\n"
        "    time.sleep(100)\n"
    )
    nodes.check_permitted()
    suite = subprocess.Popen(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True
    )
    assert suite.stdout is not None
    pids = suite.stdout.readline().split()
    assert len(pids) == 5
    suite.kill()
    suite.communicate()
    assert running.left(map(int, pids)) == []


def test_a_machine_without_the_programs_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        pytest.skip.Exception, match="nodes need ip and unshare and nsenter: install iproute2"
    ):
        nodes.check_permitted.__wrapped__()


def test_namespaces_that_are_not_permitted_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ip", "unshare", "nsenter"):
        (tmp_path / name).write_text("#!/bin/sh\necho unshare failed: Operation not permitted >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(
        pytest.skip.Exception, match="not permitted here .*Operation not permitted.*run the tests as"
    ):
        nodes.check_permitted.__wrapped__()
