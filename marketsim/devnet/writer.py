"""The one who may change a devnet that is served: takes messages and calls in turn, brings them onto the disk together, makes blocks at
the devnet's pace, and answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from marketsim.devnet.node import DevnetNode
from marketsim.devnet.node_error import NodeError
from marketsim.devnet.pace import Pace
from marketsim.simulation.live import Progress

QUEUE = 1_000
"""Most messages and calls that wait; more are refused."""
BATCH = 256
"""Most that are brought onto the disk together."""
SLICE_SECONDS = 0.05
"""How long blocks are made before others have their turn."""
SLICE_MOST = 5_000
OTHERS_TURNS = 20
"""Rounds of the event loop that others have between two slices."""
T = TypeVar("T")


class _Submission(NamedTuple):
    messages: Sequence[Mapping[str, Any]]
    signer: str
    waits: bool
    answer: asyncio.Future[list[dict[str, Any]]]


class _Call(NamedTuple):
    do: Callable[[], Any]
    moves: bool
    answer: asyncio.Future[Any]


class _Waiting(NamedTuple):
    height: int
    hashes: list[str]
    answer: asyncio.Future[list[dict[str, Any]]]


class Advance(NamedTuple):
    """An advance that is under way: its slices, who waits for it."""

    slices: Iterator[Progress]
    until: int
    answer: asyncio.Future[dict[str, Any]]
    rests: bool
    """Whether the devnet rests afterwards."""


class Writer:
    """Owns a node within an event loop; reading it in that loop, outside of `await`, is safe."""

    def __init__(self, node: DevnetNode, now: Callable[[], float] = time.monotonic) -> None:
        self.node = node
        self._now = now
        self._pace = Pace(node.block_seconds)
        self._queue: asyncio.Queue[_Submission | _Call] = asyncio.Queue(QUEUE)
        self._waiting: list[_Waiting] = []
        self._advance: Advance | None = None
        self._slice = 100
        self._changed = asyncio.Event()
        self.stopping = False
        self.leaving = False
        """Whether those who follow events are to go: the server ends."""
        self._woken = asyncio.Event()
        self._rebase()

    # --- asked by others in the loop ----------------------------------------------------------------------------------------------------

    async def submit(self, messages: Sequence[Mapping[str, Any]], signer: str, *, waits: bool = True) -> list[dict[str, Any]]:
        """Take messages that a key has signed; return their receipts, once their block is made unless somebody does not wait or the
        devnet rests. Raises NodeError for what is no message, and 503 while too many wait."""
        answer: asyncio.Future[list[dict[str, Any]]] = asyncio.get_running_loop().create_future()
        self._put(_Submission(messages, signer, waits, answer))
        return await answer

    async def call(self, do: Callable[[], T], *, moves: bool = False) -> T:
        """Do something with the node in turn, and return what it returns; `moves` where it changes height or clock."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(_Call(do, moves, answer))
        return await answer

    async def advance(
        self, blocks: int | None, until: str | int | None, limit: int | None, *, rests: bool = False, waits: bool = True
    ) -> dict[str, Any]:
        """Make blocks as `DevnetNode.advance` does, as fast as they go; others have their turn in between. One at a time: 409."""
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        def begin() -> None:
            if self._advance is not None:
                raise NodeError(f"advance: one is under way already, up to block {self._advance.until}", 409)
            target = self.node.goal(blocks, until, limit).height
            slices = self.node.advancing(blocks, until=until, limit=limit, slice_blocks=lambda: self._slice)
            self._advance = Advance(slices, target, answer, rests)

        await self.call(begin)
        return await answer if waits else self.clock()

    async def revert(self, name: str | None) -> dict[str, Any]:
        """Go back to a snapshot; messages that wait for a block are gone with it, and an advance must have ended: 409."""

        def back() -> dict[str, Any]:
            if self._advance is not None:
                raise NodeError(f"revert: an advance is under way, up to block {self._advance.until}", 409)
            found = self.node.revert(name)
            for waiting in self._waiting:
                _refuse(waiting.answer, NodeError("the devnet went back to a snapshot before the message's block was made", 409))
            self._waiting.clear()
            return found

        return await self.call(back, moves=True)

    def clock(self) -> dict[str, Any]:
        """Return height, time, speed, whether it rests, and how far it is behind or on its way."""
        node = self.node
        self._note_lag()
        return {
            "height": node.height,
            "time": node.time_of(node.height),
            "block_seconds": node.block_seconds,
            "speed": node.speed,
            "paused": node.paused,
            "lag_blocks": node.lag_blocks,
            "advancing_to": None if self._advance is None else self._advance.until,
        }

    async def changed(self, seconds: float) -> None:
        """Wait until a block is made, at most so long."""
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return

    def stop(self) -> None:
        """Come to an end when the present turn is over; who still waits is told so."""
        self.stopping = True
        self._woken.set()

    def dismiss(self) -> None:
        """Let those go who follow events, for whom the server would wait."""
        self.leaving = True
        self._changed.set()

    def _put(self, item: _Submission | _Call) -> None:
        if self.stopping:
            raise NodeError("the devnet is ending", 503)
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            raise NodeError(f"{QUEUE} messages and calls wait already, try again in a second", 503) from None
        self._woken.set()

    # --- the turn ------------------------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Take turns until `stop`; then nothing is lost and the node may be closed."""
        try:
            while not self.stopping:
                await self._turn()
        finally:
            self.stopping = True
            self._end()

    async def _turn(self) -> None:
        height = self.node.height
        await self._take()
        if self._advance is not None:
            await self._slice_of_advance(self._advance)
        else:
            self._keep_pace()
        self._answer_waiting()
        if self.node.height != height:
            self._changed.set()
            self._changed = asyncio.Event()
        if self._advance is not None or self.node.lag_blocks or not self._queue.empty():
            for _ in range(OTHERS_TURNS):  # so that a request that comes between two slices is answered between them
                await asyncio.sleep(0)
            return
        self._woken.clear()
        due = None if self.node.paused else self._pace.next_at(self._now())
        try:
            await asyncio.wait_for(self._woken.wait(), None if due is None else max(0.0, due - self._now()))
        except TimeoutError:
            return

    async def _take(self) -> None:
        """Take what waits: messages together, a call alone and in its place."""
        node, taken = self.node, set[str]()
        batch: list[tuple[_Submission, list[str]]] = []
        at_once = node.speed == 0 and not node.paused
        made = 0
        while not self._queue.empty() and len(batch) < BATCH:
            item = self._queue.get_nowait()
            if isinstance(item, _Call):
                if batch:
                    await self._sync(batch, made)
                    batch, made = [], 0
                self._do(item)
                at_once = node.speed == 0 and not node.paused
                continue
            try:
                prepared = node.prepare(item.messages, item.signer, taken)
            except Exception as error:  # nothing was changed by it yet, whatever it is
                _refuse(item.answer, error)
                continue
            batch.append((item, node.enqueue(prepared, item.signer, advance=at_once, behind=made if at_once else 0)))
            made += int(at_once)
        if batch:
            await self._sync(batch, made)

    async def _sync(self, batch: Sequence[tuple[_Submission, list[str]]], made: int) -> None:
        """Bring a batch onto the disk, make its blocks where the messages make them, and note who waits for a block."""
        node = self.node
        await asyncio.get_running_loop().run_in_executor(None, node.sync)
        due = node.height + 1
        if made:
            node.go_to(node.height + made)
            self._rebase()
        for item, hashes in batch:
            waiting = _Waiting(node.height if made else due, hashes, item.answer)
            if made or not item.waits or (node.paused and self._advance is None):
                self._answer(waiting)
            else:
                self._waiting.append(waiting)

    def _do(self, call: _Call) -> None:
        try:
            found = call.do()
        except Exception as error:
            _refuse(call.answer, error)
        else:
            if not call.answer.done():
                call.answer.set_result(found)
        if call.moves:
            self._rebase()

    async def _slice_of_advance(self, advance: Advance) -> None:
        began = time.perf_counter()
        height = self.node.height
        try:
            progress = next(advance.slices, None)
        except Exception as error:
            self._advance = None
            _refuse(advance.answer, error)
            self._rebase()
            return
        spent = time.perf_counter() - began
        if self.node.height - height >= self._slice:
            faster = self._slice * SLICE_SECONDS / max(spent, 1e-4)
            self._slice = int(min(max(10, faster, self._slice // 4), SLICE_MOST, self._slice * 4))
        if progress is None or progress.met or progress.height >= progress.until:
            self._advance = None
            await asyncio.get_running_loop().run_in_executor(None, self.node.sync)
            if advance.rests:
                self.node.set_clock(paused=True)
            self._rebase()
            if progress is not None and not advance.answer.done():
                advance.answer.set_result({"height": progress.height, "until": progress.until, "met": progress.met})
            elif not advance.answer.done():
                advance.answer.set_result({"height": self.node.height, "until": advance.until, "met": True})

    def _keep_pace(self) -> None:
        node = self.node
        if node.paused or node.speed <= 0:
            return
        due = self._pace.due(self._now())
        began = time.perf_counter()
        if due > node.height:
            node.tick(min(due, node.height + self._slice))
            if time.perf_counter() - began > 2 * SLICE_SECONDS:
                self._slice = max(10, self._slice // 2)
        self._note_lag()

    def _note_lag(self) -> None:
        node = self.node
        still = node.paused or node.speed <= 0 or self._advance is not None
        node.lag_blocks = 0 if still else max(0, self._pace.due(self._now()) - node.height)

    def _rebase(self) -> None:
        self._pace.begin(self.node.height, self._now(), 0.0 if self.node.paused else self.node.speed)

    def _answer_waiting(self) -> None:
        rest = self.node.paused and self._advance is None
        keep = []
        for waiting in self._waiting:
            if waiting.height <= self.node.height or rest:
                self._answer(waiting)
            else:
                keep.append(waiting)
        self._waiting = keep

    def _answer(self, waiting: _Waiting) -> None:
        if not waiting.answer.done():
            waiting.answer.set_result([self.node.receipt(each) for each in waiting.hashes])

    def _end(self) -> None:
        gone = NodeError("the devnet has ended; what was taken is in its log", 503)
        while not self._queue.empty():
            _refuse(self._queue.get_nowait().answer, gone)
        for waiting in self._waiting:
            _refuse(waiting.answer, gone)
        if self._advance is not None:
            _refuse(self._advance.answer, gone)
        self._changed.set()


def _refuse(answer: asyncio.Future[Any], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)


__all__ = ["Writer"]
