"""Threads for which the program does not wait at its end."""

from __future__ import annotations

from threading import current_thread

import pytest

from imgassemble.web.redis.daemon_threads import DaemonThreads


def test_a_function_that_comes_after_the_end_still_has_a_result() -> None:
    threads = DaemonThreads(1, "test")
    assert threads.submit(len, "otter").result(5.0) == 5
    threads.close()
    assert threads.submit(lambda: current_thread().daemon).result(5.0) is True


def test_an_exception_of_a_function_is_that_of_its_future() -> None:
    threads = DaemonThreads(2, "test")
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 // 0).result(5.0)
    threads.close()
