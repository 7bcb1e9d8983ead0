"""Several machines on one: nodes with a network, processes, IPC, name and memory files of their own, and a switch.

    with nodes.joined(2) as network:
        first, second = network.nodes
        hub = first.start([sys.executable, start, "cdq", "hub", "--bind", f"tcp://{first.address}:5555", ...])
        second.cut(), second.heal(), second.crash()

They are namespaces of Linux without names, each held by a process of its own that ends with the test, however that
ends: nothing is left, and several suites run at once. Files are the same ones on every node, as on a cluster.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests import running

_START = 20.0  # seconds for a node to be there
_SPACES = ("--net", "--uts", "--ipc", "--mount")
_AGENT = "/run/agent"  # what mpiexec calls in place of ssh
# /run is each node's own: what is written there vanishes with the node.
_BOOT = r"""
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
mkdir /run/tmp
printf %s "$2" >/run/hosts
mount --bind /run/hosts /etc/hosts
hostname "$1"
ip link set lo up
printf '#!/bin/sh\nexit 1\n' >/run/agent  # on nodes, mpiexec asks only whether there is one
chmod +x /run/agent
echo here
exec cat
"""
_PROC = "mount -t proc proc /proc\n"
_ENTER = 'cd "$0" && export TMPDIR=/run/tmp && exec "$@"'


class Node:
    """A machine: programs on it see its network, its processes and its memory files alone.

    Parameters
    ----------
    number : int
        0 is the switch, whose processes are those of the whole machine: mpiexec starts ranks from there.
    hosts : str
        The names of all nodes, as /etc/hosts has them.
    switch : Node, optional
        The node that this one is to be joined to.

    Attributes
    ----------
    name, address : str
        How the others reach it.
    pid : int
        The process that holds the node; the node's processes end with it.
    """

    def __init__(self, number: int, hosts: str, switch: Node | None = None) -> None:
        self.name, self.address, self._switch = _name(number), _address(number), switch
        self._port = f"port{number}"
        own = () if switch is None else ("--pid", "--fork", "--kill-child")
        boot = _BOOT if switch is None else _PROC + _BOOT
        self._holder = subprocess.Popen(
            [*_user(switch), "unshare", *_SPACES, *own, "sh", "-ec", boot, "sh", self.name, hosts],
            stdin=subprocess.PIPE,  # the holder ends with it, also where pytest is killed
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._holder.stdout is not None
        said = self._holder.stdout.readline().decode()
        assert said == "here\n", f"{self.name} does not start: {said}"
        self.pid = self._holder.pid if switch is None else children(self._holder.pid)[0]

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Return the command that runs a program on this node, in the directory of the caller."""
        spaces = _SPACES if self._switch is None else (*_SPACES, "--pid")
        user = () if os.geteuid() == 0 else ("--user", "--preserve-credentials")
        enter = ["nsenter", "--target", str(self.pid), *user, *spaces, "--"]
        return [*enter, "sh", "-c", _ENTER, os.getcwd(), *arguments]

    def start(self, arguments: Sequence[str], **how: Any) -> subprocess.Popen[str]:
        """Start a program on this node; `how` is as of `subprocess.Popen`. Signals go to its child: `send`."""
        how = {"stdin": subprocess.DEVNULL, "text": True, "start_new_session": True, **how}
        return subprocess.Popen(self.command(arguments), **how)

    def run(self, arguments: Sequence[str], timeout: float = 30.0, **how: Any) -> str:
        """Run a program on this node to its end, which must be a good one; return what it printed."""
        done = subprocess.run(
            self.command(arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
            **how,
        )
        assert done.returncode == 0, f"{self.name}: {shlex.join(arguments)}: {done.stdout}"
        return done.stdout

    def commands(self) -> list[str]:
        """Return the command of each process on this node, its words parted by NUL."""
        # One may end while it is asked.
        each = "for process in /proc/[0-9]*; do cat $process/cmdline 2>/dev/null && echo; done; true"
        return self.run(["sh", "-c", each]).splitlines()

    def cut(self) -> None:
        """Pull the node's cable: nobody is told, and nothing comes or goes until `heal`."""
        assert self._switch is not None
        self._switch.run(["ip", "link", "set", self._port, "down"])

    def heal(self) -> None:
        """Put the node's cable back."""
        assert self._switch is not None
        self._switch.run(["ip", "link", "set", self._port, "up"])

    def crash(self) -> None:
        """Pull the node's plug: all its processes end at once, and the others are not told."""
        self.cut()
        self.end()

    def join(self) -> None:
        """Run a cable to the switch."""
        assert self._switch is not None
        ends = ["type", "veth", "peer", "name", "eth0", "netns", str(self.pid)]
        # The numbers of processes are the machine's there.
        self._switch.run(["ip", "link", "add", self._port, *ends])
        self._switch.run(["ip", "link", "set", self._port, "master", "bridge", "up"])
        self.run(["ip", "addr", "add", f"{self.address}/24", "dev", "eth0"])
        self.run(["ip", "link", "set", "eth0", "up"])

    def end(self) -> None:
        """End the node and all that runs on it."""
        for pid in {self.pid, self._holder.pid}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pipe in (self._holder.stdin, self._holder.stdout):
            assert pipe is not None
            pipe.close()
        self._holder.wait()


class Network:
    """Nodes and the switch between them.

    Parameters
    ----------
    switch : Node
        Where mpiexec runs; it has an address, too.
    nodes : sequence of Node
        The others.
    """

    def __init__(self, switch: Node, nodes: Sequence[Node]) -> None:
        self.switch, self.nodes = switch, nodes

    def mpiexec(self, ranks: Sequence[int]) -> list[str]:
        """Return the command that starts so many ranks on each of the first nodes, without what they run."""
        hosts = ",".join(f"{node.name}:{n}" for node, n in zip(self.nodes, ranks, strict=False))
        program = Path(sys.executable).with_name("mpiexec")
        says = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        of_open_mpi = ("--prtemca", "plm_ssh_agent", _AGENT, "--bind-to", "none", "--host", hosts)
        of_mpich = ("-launcher", "ssh", "-launcher-exec", _AGENT, "-hosts", hosts)
        how = of_open_mpi if "Open MPI" in says else of_mpich
        return self.switch.command([str(program), *how, "-n", str(sum(ranks))])


@contextlib.contextmanager
def joined(number: int) -> Iterator[Network]:
    """Make so many nodes that reach each other; they end with the context, and all that runs on them."""
    check_permitted()
    hosts = "".join(f"{_address(i)} {_name(i)}\n" for i in range(number + 1))
    hosts = f"127.0.0.1 localhost\n{hosts}"
    with contextlib.ExitStack() as ends:
        switch = Node(0, hosts)
        ends.callback(switch.end)
        switch.run(["ip", "link", "add", "bridge", "type", "bridge"])
        switch.run(["ip", "addr", "add", f"{switch.address}/24", "dev", "bridge"])
        switch.run(["ip", "link", "set", "bridge", "up"])
        nodes = []
        for i in range(1, number + 1):
            nodes.append(Node(i, hosts, switch))
            ends.callback(nodes[-1].end)
            nodes[-1].join()
        switch.run(["sh", "-c", f"cat >{_AGENT}"], input=_agent(nodes))
        yield Network(switch, nodes)


@cache
def check_permitted() -> None:
    """Skip a test where there can be no nodes, and say what is missing."""
    missing = [name for name in ("ip", "unshare", "nsenter") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"nodes need {' and '.join(missing)}: install iproute2 and util-linux")
    try_it = [*_user(None), "unshare", *_SPACES, "--pid", "--fork", "--mount-proc", "true"]
    done = subprocess.run(try_it, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(
            f"nodes need namespaces, which are not permitted here ({done.stderr.strip()}): run the tests as root, in a "
            "container with --privileged"
        )


def children(process: int) -> list[int]:
    """Wait for children of a process, and return them: of one that was started on a node, the program itself."""
    until = time.monotonic() + _START
    while not (found := running.children(process)):
        assert time.monotonic() < until, f"process {process} has started nothing"
        time.sleep(0.01)
    return found


def send(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal to a program that was started on a node."""
    os.kill(children(process.pid)[0], number)


def _agent(nodes: Sequence[Node]) -> str:
    """Return a script that runs a command on a node, called as ssh is."""
    cases = (f'{node.name}) exec {shlex.join(node.command(["sh", "-c"]))} "$*" ;;\n' for node in nodes)
    skip = 'while [ "${1#-}" != "$1" ]; do shift; done\n'  # the options of ssh
    return f"#!/bin/sh\n{skip}name=$1\nshift\ncase $name in\n{''.join(cases)}esac\nexit 1\n"


def _user(switch: Node | None) -> tuple[str, ...]:
    """Return what makes somebody root of the nodes who is not root of the machine."""
    if os.geteuid() == 0:
        return ()
    if switch is None:
        return ("unshare", "--user", "--map-root-user")
    return ("nsenter", "--target", str(switch.pid), "--user", "--preserve-credentials")


def _name(number: int) -> str:
    return f"node{number}" if number else "switch"


def _address(number: int) -> str:
    return f"10.99.0.{number or 254}"
