"""A watermark: nobody misses a step, nobody waits for one that was, and nothing is left of a task that gave up."""

from __future__ import annotations

import asyncio

from grid_hosting.watermark import Watermark


async def test_a_task_that_lags_does_not_wait() -> None:
    mark = Watermark()
    mark.step()
    await asyncio.wait_for(mark.beyond(0), 5)


async def test_a_step_wakes_every_task_that_waits() -> None:
    mark = Watermark(3)
    tasks = [asyncio.create_task(mark.beyond(3)) for _ in range(3)]
    await asyncio.sleep(0)
    mark.step()
    await asyncio.wait_for(asyncio.gather(*tasks), 5)
    assert mark.value == 4


async def test_it_never_goes_down() -> None:
    mark = Watermark(3)
    mark.advance(2)
    assert mark.value == 3


async def test_waking_needs_no_step() -> None:
    mark = Watermark()
    task = asyncio.create_task(mark.beyond(0))
    await asyncio.sleep(0)
    mark.wake()
    await asyncio.wait_for(task, 5)
    assert mark.value == 0


async def test_waiting_ends_after_its_timeout() -> None:
    mark = Watermark()
    await asyncio.wait_for(mark.beyond(0, timeout=0), 5)
    assert not await asyncio.wait_for(mark.until(lambda: False, timeout=0), 5)


async def test_a_condition_is_looked_at_now_and_at_each_step() -> None:
    mark = Watermark()
    assert await mark.until(lambda: True, timeout=0)
    task = asyncio.create_task(mark.until(lambda: mark.value == 2, timeout=5))
    await asyncio.sleep(0)
    mark.step()
    await asyncio.sleep(0)
    assert not task.done()
    mark.step()
    assert await task
