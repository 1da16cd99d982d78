"""The end of a process by a signal."""

from __future__ import annotations

import signal
import subprocess
import sys
from textwrap import dedent

import pytest

START = """
    import asyncio, signal
    from gnomon.stream.ending import end_in_time

    async def main():
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.{signal}, ended.set)
        end_in_time({seconds})
        print("up", flush=True)
        {work}

    asyncio.run(main())
"""


def end(number: signal.Signals, seconds: float, work: str) -> tuple[int, str]:
    """Run a process until a signal ends it; give its exit code and what it says."""
    code = dedent(START).format(signal=number.name, seconds=seconds, work=work)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        except BaseException:
            process.kill()
            raise
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_holds_the_loop_up_does_not_outlast_a_signal(number: signal.Signals) -> None:
    """One request that takes for ever does not keep its worker from ending; where it was is said."""
    code, said = end(number, 0.2, "while True: pass")
    assert code == 70
    assert "what was not landed is read again" in said
    assert "in main" in said


def test_who_ends_in_time_ends_as_ever() -> None:
    """The loop hears of the signal, and nothing waits for the time to pass."""
    assert end(signal.SIGTERM, 3600, "await ended.wait()") == (0, "")
