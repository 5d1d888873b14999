"""`hopwell serve` as processes: one or more for engines, one or more for the API, and this one, which starts them, sees
them die, starts them again, and ends them together."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from hopwell.control import Child, Message
from hopwell.engine import process as engine_process
from hopwell.engine.frontend import name_of, resolve
from hopwell.engine.wire import Info
from hopwell.errors import HopwellError
from hopwell.logs import log_json
from hopwell.server import worker as api_process
from hopwell.server.ledger import Ledger
from hopwell.server.listening import LAST_SECONDS, banner, bind, claim, tell
from hopwell.server.settings import ServerSettings, Tenant
from hopwell.system import on_signal

log = logging.getLogger("hopwell.server")
Progress = Callable[[int, int, str], None]
SOON = 30.0
"""Seconds within which a process that has begun to serve must not end, or its end counts."""
TRIES = 3
"""Ends that count, one after another, until the server gives up."""
LAST_CHILD = 15.0
"""Seconds for the engine to end, once no API is left."""
LAST_WORDS = 1.0
"""After a second signal."""
GPUS = "CUDA_VISIBLE_DEVICES"
REMOVE = 'read _; rm -rf "$0"; sleep 1; rm -rf "$0"'
"""For a shell whose stdin ends with this process, however that ends; its children may write a page before they go."""
LEAST_SHARED = 1 << 30
"""Bytes free of /dev/shm below which pages are handed over through the folder for temporary files."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be served, and how."""

    model: str | None
    chat_template: Path | None
    device: str
    dtype: str
    tp: int = 1
    ep: int = 1
    """Ranks that share every layer, and that share out experts."""
    dp_attention: bool = False
    """Whether they attend for sequences of their own."""
    dp: int = 1
    """Engines, each with the whole model over ranks of its own."""
    prefill_engines: int = 0
    """Further ones, which compute prompts and hand their pages over."""
    engine: dict[str, Any]
    """Settings of `EngineConfig`."""
    names: Sequence[str]
    """Of the model in the API, the first its chief one; none: its own."""
    settings: ServerSettings
    tenants: Sequence[Tenant]
    workers: int
    start_budget: float | None = None
    """Seconds that the start should take."""
    layout: str = ""
    """Why the model lies so, where that was chosen."""

    @property
    def engines(self) -> int:
        """Processes of engines: those that decode come first."""
        return self.dp + self.prefill_engines


def supervise(plan: Plan, port: int, progress: Progress, on_compile: Progress) -> int:
    """Serves until SIGTERM, SIGINT or SIGHUP; then finishes what runs. A second signal cancels it.

    Args:
        port: 0 takes a free one; the banner says which.
        progress, on_compile: as `load_model` has them.

    Returns:
        The exit code: 0, or 1 where something had to be killed or does not stay up.

    Raises:
        HopwellError: the model cannot be loaded, a setting not honoured, or the address not used.
        KeyboardInterrupt: a signal came before the server was up.
    """
    log_json()
    listener = bind(plan.settings.host, port)
    with listener, claim(listener.getsockname()[1]) as claimed:
        path = resolve(plan.model)
        plan = replace(plan, names=list(plan.names) or [name_of(plan.model)])
        with handing_over(plan) as plan:
            supervisor = Supervisor(plan, path, listener, {"bytes": progress, "kernels": on_compile})
            try:
                return asyncio.run(supervisor.run(claimed))
            finally:
                supervisor.kill()
                logging.shutdown()


@contextmanager
def handing_over(plan: Plan) -> Iterator[Plan]:
    """A plan whose engines find each other's pages: in the store that it names, or else in a folder in memory that is
    there as long as this lasts, of a quarter of what is free there."""
    if not plan.prefill_engines or plan.engine.get("page_store") is not None:
        yield plan
        return
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free >= LEAST_SHARED
    with (
        TemporaryDirectory(prefix="hopwell-pages-", dir=memory if roomy else None) as folder,
        subprocess.Popen(["/bin/sh", "-c", REMOVE, folder], stdin=subprocess.PIPE, start_new_session=True) as watch,
    ):
        own = {"page_store": f"dir:{folder}", "page_store_gb": shutil.disk_usage(folder).free / 4e9}
        try:
            yield replace(plan, engine=plan.engine | own)
        finally:
            watch.kill()


@dataclass
class Part:
    """A child in its place: whoever takes the place later is another `Part`."""

    name: str
    child: Child
    said: asyncio.Queue[Message | None] = field(default_factory=asyncio.Queue)
    started_at: float = field(default_factory=time.monotonic)
    up_at: float | None = None

    @property
    def ended(self) -> str:
        """How it ended."""
        code = self.child.process.wait()
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def into(queue: asyncio.Queue[Message | None], loop: asyncio.AbstractEventLoop) -> Callable[[Message | None], None]:
    """What puts messages into a queue of a loop, from any thread; none once the loop is closed: nobody waits then."""

    def put(message: Message | None) -> None:
        with suppress(RuntimeError):  # closed, even between a look and the call
            loop.call_soon_threadsafe(queue.put_nowait, message)

    return put


def own_gpus(copy: int, each: int, visible: str | None) -> dict[str, str]:
    """The variable that shows an engine's process its own GPUs alone: `each` of them, after those of the copies before.

    Args:
        visible: that variable in this process; None: all are.
    """
    names = None if visible is None else [name.strip() for name in visible.split(",") if name.strip()]
    own = [str(gpu) for gpu in range(copy * each, (copy + 1) * each)]
    return {GPUS: ",".join(own if names is None else names[copy * each : (copy + 1) * each])}


class Supervisor:
    """Keeps `plan.engines` engines and `plan.workers` API processes running."""

    def __init__(self, plan: Plan, path: Path, listener: socket.socket, progress: dict[str, Progress]) -> None:
        self.plan, self.path, self.listener, self.progress = plan, path, listener, progress
        self.engines: list[Part | None] = [None] * plan.engines
        self.apis: list[Part | None] = [None] * plan.workers
        self._infos: dict[int, Info] = {}
        """By engine."""
        self.started_at = int(time.time())
        shared = plan.workers > 1 and plan.tenants
        self._ledger = Ledger.shared(len(plan.tenants), plan.workers) if shared else None
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()
        self._failure: str | None = None
        self._falls: dict[str, int] = {}
        self._codes: list[int] = []
        """Of the processes that have ended since the server was told to."""

    async def run(self, claimed: socket.socket) -> int:
        """See `supervise`."""
        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            on_signal(asyncio.get_running_loop(), name, self._signalled)
        lives = [asyncio.create_task(self._keep_engine(copy)) for copy in range(self.plan.engines)]
        lives += [asyncio.create_task(self._keep_api(number)) for number in range(self.plan.workers)]
        stopping = asyncio.create_task(self._stop.wait())
        up = asyncio.create_task(self._all_up())
        await asyncio.wait({up, stopping, *lives}, return_when=asyncio.FIRST_COMPLETED)
        for life in lives:  # they end before we do only by a fault
            if life.done():
                life.result()
        if self._failure is not None:
            raise HopwellError(self._failure)
        claimed.close()
        if not up.done():
            if not self._answers():
                raise KeyboardInterrupt
            return await self._end(lives)
        first, plan = self._infos[0], self.plan
        about = first.about
        if plan.dp > 1:
            about = {**about, "engines": f"{plan.dp}, each as above; a request goes where its beginning is known"}
        if plan.prefill_engines:
            about = {**about, "prompts": f"computed by {plan.prefill_engines} more, which hand their pages over"}
        info = msgspec.structs.replace(first, about=about)
        tell(banner(info, plan.names, plan.settings, self.listener, len(plan.tenants), plan.start_budget, plan.layout))
        await stopping
        return await self._end(lives)

    def kill(self) -> None:
        """Ends what is left at once."""
        for part in (*self.engines, *self.apis):
            if part is not None and part.child.process.poll() is None:
                part.child.process.kill()
                part.child.process.wait()

    # -- lives of the processes

    async def _keep_engine(self, copy: int) -> None:
        plan = self.plan
        same = ("device", "dtype", "tp", "ep", "dp_attention", "start_budget")
        fields: dict[str, Any] = {name: getattr(plan, name) for name in same}
        fields |= {
            "model": None if plan.model is None else str(self.path),
            "chat_template": None if plan.chat_template is None else str(plan.chat_template),
            "settings": plan.engine,
            "copies": plan.engines,
        }
        name, variables = "the engine", dict[str, str]()
        if plan.engines > 1:
            name, variables = f"engine {copy + 1}", own_gpus(copy, plan.tp, os.environ.get(GPUS))
        while not self._stop.is_set():
            part = self.engines[copy] = self._start(name, engine_process.MAIN, (), fields, **variables)
            while (message := await part.said.get()) is not None:
                if message.kind == "ready":
                    self._take(msgspec.convert(message.fields["info"], Info), copy)
                    self._up(part)
                    for api in self.apis:
                        self._connect(api, copy)
                elif message.kind == "failed":
                    self._fail(message.fields["reason"])
                elif copy == 0:
                    told = message.fields
                    self.progress[message.kind](told["done"], told["total"], told["name"])
            self.engines[copy] = None
            await self._fallen(part)

    def _take(self, info: Info, copy: int) -> None:
        """What an engine tells of itself."""
        self._infos[copy] = info
        plan, infos = self.plan, self._infos.values()
        if len({known.settings["device"] for known in infos}) > 1:
            needed = plan.engines * plan.tp
            self._fail(f"some engines found no GPU of their own, for they need {needed}; give fewer by --dp")
        elif plan.prefill_engines and len({known.pages_of for known in infos}) > 1:
            self._fail("--prefill-engines: engines do not compute the same pages, bit by bit; leave it out")

    async def _keep_api(self, number: int) -> None:
        plan = self.plan
        fields = {
            "path": str(self.path),
            "names": plan.names,
            "chat_template": None if plan.chat_template is None else str(plan.chat_template),
            "settings": asdict(plan.settings),
            "tenants": [asdict(tenant) for tenant in plan.tenants],
            "workers": plan.workers,
            "dp": plan.dp,
            "prefill_engines": plan.prefill_engines,
            "me": number,
            "started_at": self.started_at,
        }
        ends = [self.listener.fileno(), *([] if self._ledger is None else [self._ledger])]
        while not self._stop.is_set():
            part = self._start(f"API process {number + 1}", api_process.MAIN, ends, fields)
            self.apis[number] = part
            for copy in range(plan.engines):
                self._connect(part, copy)
            while (message := await part.said.get()) is not None:
                if message.kind == "listening":
                    self._up(part)
                elif message.kind == "failed":
                    self._fail(message.fields["reason"])
            await self._fallen(part)

    def _start(self, name: str, main: str, ends: Sequence[int], fields: dict[str, Any], **variables: str) -> Part:
        part = Part(name, Child.start(main, **variables))
        part.child.control.send("start", ends, **fields)
        part.child.control.listen(into(part.said, asyncio.get_running_loop()))
        if name in self._falls:
            log.info({"event": "a process is started again", "process": name, "pid": part.child.process.pid})
        return part

    def _up(self, part: Part) -> None:
        part.up_at = time.monotonic()
        if part.name in self._falls:
            pid, seconds = part.child.process.pid, round(part.up_at - part.started_at, 3)
            log.info({"event": "a process is up again", "process": part.name, "pid": pid, "seconds": seconds})

    def _connect(self, api: Part | None, copy: int) -> None:
        """Joins an API and an engine, once both are there."""
        engine = self.engines[copy]
        if api is None or engine is None or engine.up_at is None:
            return
        one, other = socket.socketpair()
        with one, other:
            engine.child.control.send("connect", [one.fileno()])
            api.child.control.send("connect", [other.fileno()], copy=copy)

    async def _fallen(self, part: Part) -> None:
        """After a process has ended: why, and whether to start another."""
        code = await asyncio.to_thread(part.child.process.wait)
        part.child.control.close()
        if self._stop.is_set():
            self._codes.append(code)
            return
        if part.up_at is None:
            self._fail(f"{part.name} {part.ended} before it was up; see the log")
            return
        falls = self._falls.get(part.name, 0) + 1 if time.monotonic() - part.up_at < SOON else 1
        self._falls[part.name] = falls
        pid, how = part.child.process.pid, part.ended
        log.error({"event": "a process has ended", "process": part.name, "pid": pid, "how": how})
        if falls >= TRIES:
            self._fail(f"{part.name} {how}, {falls} times within {SOON:g} s of its start; see the log")

    def _fail(self, reason: str) -> None:
        """Nothing can be served: everything ends."""
        if self._failure is None:
            self._failure = reason
        self._stop.set()

    def _answers(self) -> bool:
        """Whether callers may have been told that the server is healthy."""
        return bool(self._infos) and any(api is not None and api.up_at is not None for api in self.apis)

    async def _all_up(self) -> None:
        while not all(part is not None and part.up_at is not None for part in (*self.engines, *self.apis)):
            await asyncio.sleep(0.005)

    # -- the end

    def _signalled(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _end(self, lives: Sequence[asyncio.Task[None]]) -> int:
        """Drains the APIs, then ends the engines; returns the exit code."""
        self._say("stop", self.apis)
        engines, apis = lives[: self.plan.engines], lives[self.plan.engines :]
        drained = asyncio.gather(*apis, return_exceptions=True)
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({drained, hurry}, return_when=asyncio.FIRST_COMPLETED)
        if not drained.done():
            self._say("hurry", self.apis)
            await asyncio.wait({drained}, timeout=LAST_SECONDS - 3 * LAST_WORDS)
        killed = not drained.done()
        self._say("stop", self.engines)
        ended = asyncio.gather(*engines, return_exceptions=True)
        await asyncio.wait({ended, hurry}, timeout=LAST_CHILD, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done() and hurry.done():
            await asyncio.wait({ended}, timeout=LAST_WORDS)
        left = not ended.done()
        hurry.cancel()
        if self._failure is not None:
            log.error({"event": "the server ends", "reason": self._failure})
        return int(killed or left or self._failure is not None or any(self._codes))

    def _say(self, kind: str, parts: Sequence[Part | None]) -> None:
        for part in parts:
            if part is not None:
                part.child.control.send(kind)
