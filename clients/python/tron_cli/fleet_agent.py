"""One agent of a demo fleet, as a process: `python -m tron_cli.fleet_agent`, started by `fleet`.

The first line on stdin is the agent's declaration. A later line `freeze` stops the activity counter of the agent, and a
line `thaw` lets the counter continue. The agent ends when stdin ends, so that it does not outlive the fleet. The agent
writes one line to stdout once it is registered. An agent with children restarts them with the SDK's Supervisor, by a
request to the fleet, which owns the processes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tron_client.agent import Agent
from tron_client.errors import InvalidRequest
from tron_client.supervisor import Supervisor

from tron_cli.control import ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tron_client.restart_log import FailedChild

_STEP_SECONDS = 0.5
"""Seconds between two steps of the simulated work."""
_WINDOW_SECONDS = 60.0
"""Seconds for which restarts are counted: short, so that a demo can be repeated."""
_RESTART_SECONDS = 15.0


def main() -> None:
    """Run the agent until stdin ends or SIGTERM arrives, then send a goodbye."""
    logging.getLogger("tron_client").setLevel(logging.ERROR)  # thirty agents that say the same are noise
    signal.signal(signal.SIGTERM, _leave)
    lines = _lines()
    order = json.loads(next(line for line in lines if line))
    agent = Agent(registry=order["registry"], **order["service"])
    try:
        with agent, contextlib.ExitStack() as stack:
            if order["supervises"]:
                control = Path(order["control"])

                def restart(failed: FailedChild) -> None:
                    request = {"do": "restart", "id": failed.service_id, "by": agent.service_id}
                    ask(control, request, _RESTART_SECONDS)

                stack.enter_context(
                    Supervisor(agent, restart, window=_WINDOW_SECONDS, restart_timeout=_RESTART_SECONDS)
                )
            _work(agent, lines)
    except InvalidRequest as error:
        sys.exit(f"tron demo: {order['service']['service_id']}: {error}")


def _work(agent: Agent, lines: Iterator[str | None]) -> None:
    """Report progress until stdin ends."""
    frozen = told = False
    while True:
        if not told and agent.wait_registered(0):
            told = True
            print(json.dumps({"incarnation": agent.incarnation}), flush=True)
        if agent.state == "superseded":
            return  # somebody else goes by this id
        if not frozen:
            agent.advance()
        try:
            line = next(lines)
        except StopIteration:
            return
        if line is not None:
            frozen = line == "freeze"


def _lines() -> Iterator[str | None]:
    """Yield each line of stdin as it arrives, and None whenever no line arrived for `_STEP_SECONDS`; end when stdin
    ends."""
    rest = b""
    while True:
        readable, _, _ = select.select([0], [], [], _STEP_SECONDS)
        if not readable:
            yield None
            continue
        data = os.read(0, 65536)
        if not data:
            return
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield line.decode()


def _leave(*_: Any) -> NoReturn:
    sys.exit(0)


if __name__ == "__main__":
    main()
