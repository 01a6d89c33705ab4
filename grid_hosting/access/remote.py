"""Identifies callers for a server that stores no principals: it asks the registry, and caches the answers; see
`answers`.

The channel sends the credential of this program, which needs the role judge or relay.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

import grpc
import structlog
from grid.access.v1 import access_service_pb2, access_service_pb2_grpc
from grid_model import access_codec
from grid_model.access import Principal
from grid_model.errors import Draining, InvalidRequest, PrincipalNotFound, QuotaExceeded, TronError, Unauthenticated
from tron_client.errors import RegistryUnavailable, from_rpc_error
from tron_client.schedule import Backoff

from grid_hosting.access.answers import GRACE, QUIET, Answer, Answers
from grid_hosting.access.failed_attempts import LONGEST_DELAY
from grid_hosting.credential import Credential
from grid_hosting.watermark import Watermark

log = structlog.get_logger("access")

ANSWER_WITHIN = LONGEST_DELAY + 3.0
"""Timeout for one answer, in seconds. It includes the delay of a refusal if an address fails often."""

MOST_ASKED = 2000
"""Maximum number of credentials of new calls about which the registry is asked at the same time. The registry delays at
most 1,000 refusals, so only a stalled registry lets this many wait. Overflow rule: a further call is refused with
QUOTA_EXCEEDED; its client tries again. Checks of open calls, which have no address, are not counted here: otherwise
callers with wrong credentials could end the streams of others. `OpenCallChecks` limits their number."""

AWAY = "the registry does not answer, so callers cannot be identified"

MOST_PEER = 128
"""Maximum number of characters of an address that the registry accepts."""

ATTEMPTS = 3
"""How often the registry is asked about a credential if principals or grants change before the answer arrives."""


class RemoteAuthority:
    """An `Authority` for the servers of this process. It asks the registry for principals, and caches the answers while
    `run` keeps them current."""

    def __init__(self, channel: grpc.aio.Channel, clock: Callable[[], float] = time.monotonic) -> None:
        self._stub = access_service_pb2_grpc.AccessServiceStub(channel)
        self._clock = clock
        self._answers = Answers()
        self._asked: dict[Credential, asyncio.Task[Answer]] = {}
        self._waiting = 0
        """The number of questions that new calls are waiting for."""
        self._revisions = Watermark()

    @property
    def revisions(self) -> Watermark:
        """A number that grows when open streams must be checked again: principals may have changed, the watch ended, or
        the cached answers became too old."""
        return self._revisions

    async def identify(self, credential: Credential, peer: str) -> Principal:
        """Return the principal of a credential that came from the address `peer`. Raises Unauthenticated if the
        credential is not valid, Draining if the registry does not answer, and QuotaExceeded if too many callers are
        waiting."""
        answers = self._answers
        for _ in range(ATTEMPTS):
            now = self._clock()
            found = answers.known if answers.away else answers.current
            principal = found(credential, now, datetime.now(UTC))
            if principal is not None:
                return principal
            try:
                answer = await self._shared(credential, peer)
            except Draining:
                answers.away = True
                principal = answers.known(credential, self._clock(), datetime.now(UTC))
                if principal is None:
                    raise
                return principal
            if answer.epoch == answers.epoch:
                return answer.principal
        raise Draining("principals and grants change too often; try again")

    async def find(self, name: str) -> Principal:
        """Return the principal with this name. This program is a relay, and can then call for the principal without the
        principal's credential. The principal must have the role agent, and no roles other than agent and observer.
        Raises as `identify` does."""
        return await self.identify(Credential(principal=name), "")

    async def run(self) -> None:
        """Watch the registry for changes of principals and grants, until cancelled."""
        backoff = Backoff(cap=1.0)
        last, ended, logged = self._clock(), False, False
        try:
            while True:
                began = self._clock()
                opened, why = await self._watch()
                if opened:
                    last, ended = self._clock(), False
                if opened or not logged:
                    logged = True
                    log.warning("access_not_watched", why=why)
                self._answers.lost()
                if not self._answers.away:
                    self._revisions.step()  # no change would be heard, so open streams are checked each time
                if not ended and self._clock() - last > GRACE:
                    ended = True
                    self._revisions.step()  # open streams are checked, and end
                backoff.ended(self._clock() - began)
                await asyncio.sleep(backoff.next_delay(random.random()))
        finally:
            for task in self._asked.values():
                task.cancel()

    async def _watch(self) -> tuple[bool, str]:
        """Follow one watch to its end; return whether it was open, and why it ended."""
        call = self._stub.WatchAccess(access_service_pb2.WatchAccessRequest())
        opened = False
        try:
            while True:
                async with asyncio.timeout(QUIET if opened else ANSWER_WITHIN):
                    message = await call.read()
                if not isinstance(message, access_service_pb2.WatchAccessResponse):
                    return opened, "the stream ended"
                if self._answers.heard(message.revision, self._clock()):
                    self._revisions.step()
                if not opened:
                    opened = True
                    log.info("access_watched", revision=message.revision)
        except TimeoutError:
            self._answers.away = True
            return opened, "the registry is silent"
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error)
            self._answers.away = isinstance(failure, Draining | RegistryUnavailable)
            return opened, failure.message
        finally:
            call.cancel()

    async def _shared(self, credential: Credential, peer: str) -> Answer:
        """Ask the registry about a credential; calls with the same credential share one question."""
        task = self._asked.get(credential)
        if task is None:
            if peer and self._waiting >= MOST_ASKED:
                raise QuotaExceeded(f"{MOST_ASKED} callers are already waiting to be identified; try again")
            task = asyncio.create_task(self._ask(credential, peer))
            self._asked[credential] = task
            self._waiting += bool(peer)
            task.add_done_callback(lambda _: self._answered(credential, peer))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():  # and not this call
                raise Draining("this server is shutting down") from None
            raise

    def _answered(self, credential: Credential, peer: str) -> None:
        task = self._asked.pop(credential)
        self._waiting -= bool(peer)
        if not task.cancelled():
            task.exception()  # the calls that wait for it may all have been cancelled

    async def _ask(self, credential: Credential, peer: str) -> Answer:
        epoch, now = self._answers.epoch, self._clock()
        try:
            message = await self._stub.Identify(_request(credential, peer), timeout=ANSWER_WITHIN)
            principal = access_codec.decode_principal(message.principal)
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error)
            if isinstance(failure, PrincipalNotFound):
                self._answers.drop(credential)
                raise Unauthenticated from None
            if isinstance(failure, QuotaExceeded):  # the registry answers, but not this caller now
                raise QuotaExceeded(failure.message) from None
            self._log_failure(failure)
            raise Draining(AWAY) from error
        except InvalidRequest as error:  # a role of a newer registry
            self._log_failure(error)
            raise Draining(AWAY) from error
        answer = Answer(principal, now, epoch)
        self._answers.keep(credential, answer)
        return answer

    def _log_failure(self, failure: TronError) -> None:
        if not self._answers.away:  # once, and not for each caller
            log.error("callers_not_identified", why=failure.message)


def _request(credential: Credential, peer: str) -> access_service_pb2.IdentifyRequest:
    request = access_service_pb2.IdentifyRequest(peer=peer[:MOST_PEER], certificate_serial=credential.serial)
    if credential.token:
        request.token = credential.token
    elif credential.spiffe_id:
        request.spiffe_id = credential.spiffe_id
    elif credential.common_name:
        request.common_name = credential.common_name
    elif credential.principal:
        request.principal = credential.principal
    return request
