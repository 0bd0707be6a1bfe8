"""The queue: so many pieces of work at once, the others in turn, all of them remembered for a while."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from bondwork.files import write_whole
from bondwork.service.work import Answer, Kind
from bondwork.service.worker import Worker, WorkerDied

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.service.config import ServiceConfig


class Overloaded(RuntimeError):
    """More requests wait than the service lets wait."""


@dataclass(slots=True)
class Job:
    """One piece of work.

    Attributes
    ----------
    id
        Not to be guessed: whoever knows it may read the result.
    kind, options
        What is asked.
    state
        Where it is.
    progress
        Seconds, incumbent, bound and phase as last told.
    answer
        What came of it.
    finished
        Set once there is an answer.
    """

    id: str
    kind: Kind
    options: Mapping[str, Any]
    state: Literal["waiting", "running", "stopping", "done"] = "waiting"
    progress: tuple[float, float | None, float | None, str] | None = None
    answer: Answer | None = None
    worker: Worker | None = None
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    def told(self) -> dict[str, Any]:
        """The job as clients see it."""
        progress = None
        if self.progress is not None:
            seconds, objective, bound, phase = self.progress
            progress = {"seconds": seconds, "objective": objective, "bound": bound, "phase": phase}
        return {
            "id": self.id,
            "kind": self.kind,
            "state": self.state,
            "progress": progress,
            "status": None if self.answer is None else self.answer.status,
        }


class Jobs:
    """All jobs of a service. Lives in one event loop.

    Parameters
    ----------
    config
        Limits.
    """

    def __init__(self, config: ServiceConfig) -> None:
        self.config = config
        self.jobs: OrderedDict[str, Job] = OrderedDict()
        self._turn = asyncio.Semaphore(config.workers)
        self._threads = ThreadPoolExecutor(config.workers, thread_name_prefix="job")
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    def start(self, kind: Kind, body: bytes, options: Mapping[str, Any]) -> Job:
        """Put work into the queue.

        Raises
        ------
        Overloaded
            Too many wait already, or the service is shutting down.
        """
        waiting = sum(job.state == "waiting" for job in self.jobs.values())
        if self._closing or waiting >= self.config.waiting:
            raise Overloaded("shutting down" if self._closing else f"{waiting} requests wait already")
        job = Job(secrets.token_urlsafe(16), kind, options)
        self.jobs[job.id] = job
        task = asyncio.create_task(self._run(job, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._forget()
        return job

    def find(self, name: str) -> Job | None:
        """A job by its id; finished ones of an earlier run from their files."""
        if (
            name in self.jobs
            or self.config.results is None
            or not name.replace("-", "").replace("_", "").isalnum()
        ):
            return self.jobs.get(name)
        path = self.config.results / f"{name}.json"
        if not path.is_file():
            return None
        kept = json.loads(path.read_text(encoding="utf-8"))
        job = Job(name, kept["kind"], {}, state="done", answer=Answer(kept["status"], kept["body"]))
        job.finished.set()
        return job

    def cancel(self, job: Job) -> None:
        """Ask a job to end with the best it has; one that waits ends with nothing."""
        if job.state == "waiting":
            self._finish(job, Answer(409, '{"error": "cancelled"}\n'))
        elif job.state == "running" and job.worker is not None:
            job.state = "stopping"
            job.worker.stop()

    async def close(self) -> None:
        """Take nothing more; running jobs hand out what they have, waiting ones nothing."""
        self._closing = True
        for job in list(self.jobs.values()):
            self.cancel(job)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2.0 * self.config.grace)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, job: Job, body: bytes) -> None:
        async with self._turn:
            if job.state != "waiting":
                return
            job.state = "running"
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._threads, self._work, job, body)
        self._finish(job, answer)

    def _work(self, job: Job, body: bytes) -> Answer:
        """Start the process and wait for it; in a thread."""

        def tell(progress: tuple[float, float | None, float | None, str]) -> None:
            job.progress = progress

        worker = Worker(job.kind, body, job.options, memory=self.config.memory, tell=tell)
        job.worker = worker
        if job.state == "stopping":
            worker.stop()
        try:
            return self._answer_of(job, worker)
        except WorkerDied as error:
            return Answer(500, json.dumps({"error": "worker_died", "reasons": [str(error)]}) + "\n")
        finally:
            job.worker = None
            worker.close()

    def _answer_of(self, job: Job, worker: Worker) -> Answer:
        # reading, building and verifying come on top of the time of the solve
        limit = float(job.options.get("time_limit", self.config.default_time))
        ends = time.monotonic() + limit + self.config.grace
        while time.monotonic() < ends:
            answer = worker.wait(min(ends, time.monotonic() + 0.25))
            if answer is not None:
                return answer
            if job.state == "stopping":
                ends = min(ends, time.monotonic() + self.config.grace)
                answer = worker.wait(ends)
                break
        else:
            worker.stop()
            answer = worker.wait(time.monotonic() + self.config.grace)
        if answer is not None:
            return answer
        worker.kill()
        reason = (
            f"no answer within {limit:g} s and {2.0 * self.config.grace:g} s more; its process was killed"
        )
        return Answer(504, json.dumps({"error": "over_time", "reasons": [reason]}) + "\n")

    def _finish(self, job: Job, answer: Answer) -> None:
        job.answer, job.state = answer, "done"
        if self.config.results is not None:
            kept = {"kind": job.kind, "status": answer.status, "body": answer.body}
            write_whole(self.config.results / f"{job.id}.json", json.dumps(kept) + "\n")
        job.finished.set()

    def _forget(self) -> None:
        """Keep as many finished jobs as the config says, the newest ones."""
        done = [name for name, job in self.jobs.items() if job.state == "done"]
        for name in done[: max(len(done) - self.config.keep, 0)]:
            del self.jobs[name]
