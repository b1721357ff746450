from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from builders.kernel_work import make_echo
from server.kernel import Ended, Kernel


@pytest.fixture
def kernel() -> Any:
    made = Kernel(make_echo, timeout=60)
    yield made
    made.stop()


def test_the_child_answers_and_stays(kernel: Kernel) -> None:
    first = kernel.call({"say": 1})
    second = kernel.call({"say": 2})

    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert (first["say"], second["say"]) == (1, 2)
    assert first["pid"] == second["pid"] == kernel.pid != os.getpid()


def test_a_child_that_dies_is_a_value_and_the_next_call_gets_another(kernel: Kernel) -> None:
    died = kernel.call({"die": True})
    after = kernel.call({"say": 3})

    assert isinstance(died, Ended)
    assert "ended unexpectedly" in died.reason
    assert isinstance(after, dict)
    assert after["say"] == 3


def test_a_child_that_takes_too_long_is_ended() -> None:
    kernel = Kernel(make_echo, timeout=0.5)
    kernel.start()

    hung = kernel.call({"sleep": 60})

    assert isinstance(hung, Ended)
    assert "longer than 0.5 s" in hung.reason
    kernel.stop()


def test_the_child_leaves_when_its_parent_is_killed() -> None:
    program = (
        "import time\n"
        "from builders.kernel_work import make_echo\n"
        "from server.kernel import Kernel\n"
        "if __name__ == '__main__':\n"
        "    kernel = Kernel(make_echo, timeout=60)\n"
        "    print(kernel.call({'say': 1})['pid'], flush=True)\n"
        "    time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)

    deadline = time.monotonic() + 20
    while is_running(child):
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - a pseudo file
        return file.read().rsplit(")", 1)[1].split()[0] != "Z"
