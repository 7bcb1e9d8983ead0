from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from cdq.comm.memory import Offer, accept, end_of, reach
from tests.running import open_files

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="anonymous files are Linux's")


def mapped() -> int:
    return Path("/proc/self/maps").read_text().count("/memfd:cdq-")


def test_one_writes_and_the_others_read() -> None:
    offers = [Offer(10_000), Offer(0)]
    seen = [accept([offer.address for offer in offers], rank, own) for rank, own in enumerate(offers)]
    for offer in offers:
        offer.withdraw()
    first, second = seen
    assert first is not None
    assert second is not None
    assert [memory.readonly for memory in first] == [False, True]
    assert first[0].nbytes >= 10_000
    first[0][9_999] = 7
    assert bytes(second[0][:10_000]) == bytes(9_999) + b"\x07"


def test_nothing_is_left_when_the_last_one_lets_go() -> None:
    files, before = open_files(), mapped()
    offer = Offer(4 << 20)
    memory = accept([offer.address, offer.address], 0, offer)
    offer.withdraw()
    assert mapped() == before + 2
    del memory
    assert mapped() == before
    assert open_files() <= files


def test_memory_of_a_stranger_is_not_taken() -> None:
    offer = Offer(100)
    path, name = offer.address.split(b" ")
    for address in (b"", path + b" /memfd:cdq-other", b"/proc/1/fd/999 " + name):
        assert accept([offer.address, address], 0, offer) is None
    offer.withdraw()


def test_no_such_length() -> None:
    offer = Offer(1 << 62)
    assert accept([offer.address], 1, offer) is None
    offer.withdraw()


def test_others_may_write_where_they_are_to_meet() -> None:
    offer = Offer(100)
    own, seen = offer.memory(), reach(offer.address, writable=True)
    seen[7] = 3
    assert own[7] == 3
    assert reach(offer.address).readonly
    offer.withdraw()


def test_the_end_of_a_process_is_told() -> None:
    code = "import sys; from cdq.comm.memory import Offer; own = Offer(1)\n"
    code += "print(own.address.decode(), flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        end = end_of(process.stdout.readline().encode())
        try:
            assert select.select([end], [], [], 0.0)[0] == []
            process.kill()
            assert select.select([end], [], [], 20.0)[0] == [end]
        finally:
            os.close(end)


@pytest.mark.parametrize("process", ["", "self", "99999999999", "999999999"])
def test_what_is_no_process_has_no_end(process: str) -> None:
    with pytest.raises((FileNotFoundError, ProcessLookupError, OSError), match=r"proc|No such|Invalid"):
        end_of(f"/proc/{process}/fd/3 /memfd:cdq".encode())


def test_a_process_of_another_namespace_is_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    offer = Offer(1)
    monkeypatch.setattr(os, "readlink", lambda path: "1")
    with pytest.raises(OSError, match="proc"):
        end_of(offer.address)
    offer.withdraw()
