"""Run jobs in order in another thread, with bounds for the jobs that wait.

Must not know: the jobs.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from typing import Generic, TypeVar

from ..errors import UsageError

_Job = TypeVar("_Job")


class WriteQueue(Generic[_Job]):
    """Jobs that a thread runs one after the other.

    The thread ends when no job waits, so that none is left behind by a program that closes nothing. The interpreter
    waits for it at exit, so that no job is lost.

    run: runs a job. It raises nothing.
    rest: called after the last job that waits. It raises nothing.
    max_jobs, max_bytes: the bounds of the jobs that wait or run; a larger job waits until it is alone.
    """

    def __init__(
        self, run: Callable[[_Job], object], rest: Callable[[], object], *, max_jobs: int, max_bytes: int
    ) -> None:
        self._run, self._rest = run, rest
        self._max_jobs, self._max_bytes = max_jobs, max_bytes
        self._jobs: deque[tuple[_Job, int]] = deque()
        self._n_bytes = 0
        self._is_running = False
        self._changed = Condition()
        self._process_id = os.getpid()

    def put(self, job: _Job, n_bytes: int) -> None:
        """Add a job that holds `n_bytes`. Wait while the queue is full. Raises UsageError in a forked process."""
        self.check_process()
        with self._changed:
            self._changed.wait_for(lambda: self._has_room_for(n_bytes))
            self._jobs.append((job, n_bytes))
            self._n_bytes += n_bytes
            if self._is_running:
                return
            self._is_running = True
        try:
            Thread(target=self._work, name="imgassemble objects").start()
        except RuntimeError:  # the interpreter ends, or the system has no more threads
            self._work()

    def _has_room_for(self, n_bytes: int) -> bool:
        is_idle = not self._jobs and not self._is_running
        return is_idle or (len(self._jobs) < self._max_jobs and self._n_bytes + n_bytes <= self._max_bytes)

    def _work(self) -> None:
        while True:
            with self._changed:
                job, n_bytes = self._jobs.popleft()
            self._run(job)
            del job
            with self._changed:
                self._n_bytes -= n_bytes
                self._changed.notify_all()
                if self._jobs:
                    continue
            self._rest()
            with self._changed:
                if not self._jobs:
                    self._is_running = False
                    self._changed.notify_all()
                    return

    def wait(self) -> None:
        """Wait until all jobs are done. Raises UsageError in a forked process."""
        self.check_process()
        with self._changed:
            self._changed.wait_for(lambda: not self._is_running)

    def check_process(self) -> None:
        """Raise UsageError in a process that was forked from the one that made the queue: its thread is not there."""
        if os.getpid() != self._process_id:
            raise UsageError(
                "this process was forked after the sink was opened: open a sink of its own in each process"
            )
