"""The gRPC service AccessService: principals, grants and tokens."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import structlog
from grid.access.v1 import access_pb2, access_service_pb2, access_service_pb2_grpc
from grid_model import access_codec, wire
from grid_model.access import LOCAL
from grid_model.errors import (
    Draining,
    FieldError,
    InvalidRequest,
    PermissionDenied,
    PrincipalNotFound,
    QuotaExceeded,
    Unauthenticated,
)

from grid_hosting.access import audit_codec
from grid_hosting.access.audit import AuditFilter, AuditKind, AuditRecord
from grid_hosting.access.book import MOST_SERIAL, Registered
from grid_hosting.access.denied_jwts import DeniedJwt
from grid_hosting.access.reports import Reports, is_judge
from grid_hosting.access.store import AccessStoreError
from grid_hosting.access.tokens import RANDOM_BYTES, Token, make_secret
from grid_hosting.access.trail import AuditTrail
from grid_hosting.authentication import current_principal
from grid_hosting.credential import Credential
from grid_hosting.open_counts import OpenCounts
from registry_server.core.validation import too_many_elements
from registry_server.io.access import Access
from registry_server.io.loop import RegistryLoop

log = structlog.get_logger("access")

Context = grpc.aio.ServicerContext[Any, Any]

MAX_WATCHERS = 100
MAX_WATCHERS_EACH = 10
"""Maximum number of watches of one principal, so that one server cannot take the places of all others."""
MOST_PEER = 128
"""Maximum number of characters in the address of a caller."""
MAX_AUDIT = 1000
DEFAULT_AUDIT = 100
MOST_AUDIT_TEXT = 512
MOST_AUDIT_COUNT = 1 << 40


class AccessService(access_service_pb2_grpc.AccessServiceServicer):
    """Serves the calls about principals, grants and tokens: converts requests and waits for the disk.
    `grid_hosting.access` makes the decisions."""

    def __init__(self, access: Access, loop: RegistryLoop, trail: AuditTrail) -> None:
        self._access = access
        self._trail = trail
        self._loop = loop
        self._watchers = OpenCounts()
        self._reports = Reports()

    async def CreateToken(
        self, request: access_service_pb2.CreateTokenRequest, context: Context
    ) -> access_service_pb2.CreateTokenResponse:
        """Create a token, and answer when it is on disk."""
        _check_authenticated()
        grants = access_codec.decode_grants("grants", request.grants)
        lifetime = wire.checked_seconds("lifetime", request.lifetime) if request.HasField("lifetime") else None
        secret = make_secret(secrets.token_bytes(RANDOM_BYTES))
        created_by = current_principal().name
        token = await self._access.change(
            lambda book: book.create_token(
                secret,
                request.principal,
                now=time.time(),
                lifetime=lifetime,
                grants=grants,
                description=request.description,
                created_by=created_by,
                group=request.group,
            )
        )
        return access_service_pb2.CreateTokenResponse(secret=secret, token=_token(token, None))

    async def ListTokens(
        self, request: access_service_pb2.ListTokensRequest, context: Context
    ) -> access_service_pb2.ListTokensResponse:
        """Return all tokens, or those of one principal."""
        used = await self._access.last_used()
        tokens = sorted(self._access.book.tokens.values(), key=lambda each: each.created_at)
        return access_service_pb2.ListTokensResponse(
            tokens=[
                _token(each, used.get(each.token_id))
                for each in tokens
                if request.principal in ("", each.principal)
            ]
        )  # fmt: skip

    async def RevokeToken(
        self, request: access_service_pb2.RevokeTokenRequest, context: Context
    ) -> access_service_pb2.RevokeTokenResponse:
        """Revoke a token, and answer when the revocation is on disk."""
        _check_authenticated()
        token = await self._access.change(lambda book: book.revoke(request.token_id))
        return access_service_pb2.RevokeTokenResponse(token=_token(token, None))

    async def DenyJwt(
        self, request: access_service_pb2.DenyJwtRequest, context: Context
    ) -> access_service_pb2.DenyJwtResponse:
        """Deny a JSON Web Token, and answer when the denial is on disk."""
        _check_authenticated()
        now = time.time()
        ends_at = wire.moment(request.ends_at).timestamp() if request.HasField("ends_at") else None
        wanted = DeniedJwt(request.issuer, request.jwt_id, now, ends_at, request.description, current_principal().name)
        found = await self._access.change(lambda book: book.deny(wanted, now))
        return access_service_pb2.DenyJwtResponse(denied=_denied(found))

    async def AllowJwt(
        self, request: access_service_pb2.AllowJwtRequest, context: Context
    ) -> access_service_pb2.AllowJwtResponse:
        """Stop denying a JSON Web Token, and answer when the change is on disk."""
        _check_authenticated()
        found = await self._access.change(lambda book: book.allow(request.issuer, request.jwt_id))
        return access_service_pb2.AllowJwtResponse(allowed=_denied(found))

    async def ListDeniedJwts(
        self, request: access_service_pb2.ListDeniedJwtsRequest, context: Context
    ) -> access_service_pb2.ListDeniedJwtsResponse:
        """Return the JSON Web Tokens that are denied, oldest first."""
        await self._access.open()
        found = sorted(self._access.book.denied.values(), key=lambda each: each.denied_at)
        return access_service_pb2.ListDeniedJwtsResponse(denied=map(_denied, found))

    async def PutPrincipal(
        self, request: access_service_pb2.PutPrincipalRequest, context: Context
    ) -> access_service_pb2.PutPrincipalResponse:
        """Create or replace a principal, and answer when it is on disk."""
        _check_authenticated()
        given = request.principal
        grants = access_codec.decode_grants("grants", given.grants)
        wanted = Registered(given.name, given.group, grants, given.description, given.disabled)
        found = await self._access.change(lambda book: book.put(wanted))
        return access_service_pb2.PutPrincipalResponse(principal=_principal(found))

    async def ChangeGrants(
        self, request: access_service_pb2.ChangeGrantsRequest, context: Context
    ) -> access_service_pb2.ChangeGrantsResponse:
        """Add and remove grants, and answer when the change is on disk."""
        _check_authenticated()
        add = access_codec.decode_grants("add", request.add)
        remove = access_codec.decode_grants("remove", request.remove)
        disabled = request.disabled if request.HasField("disabled") else None
        group = request.group if request.HasField("group") else None
        if not add and not remove and disabled is None and group is None:
            why = "is empty, and so are remove, disabled and group; set at least one of them"
            raise InvalidRequest.of(FieldError("add", why))
        found = await self._access.change(
            lambda book: book.change_grants(request.principal, add, remove, disabled=disabled, group=group)
        )
        return access_service_pb2.ChangeGrantsResponse(principal=_principal(found))

    async def GetPrincipal(
        self, request: access_service_pb2.GetPrincipalRequest, context: Context
    ) -> access_service_pb2.GetPrincipalResponse:
        """Return one principal."""
        await self._access.open()
        return access_service_pb2.GetPrincipalResponse(principal=_principal(self._access.book.get(request.name)))

    async def ListPrincipals(
        self, request: access_service_pb2.ListPrincipalsRequest, context: Context
    ) -> access_service_pb2.ListPrincipalsResponse:
        """Return all principals by name."""
        await self._access.open()
        found = sorted(self._access.book.principals.values(), key=lambda each: each.name)
        return access_service_pb2.ListPrincipalsResponse(principals=[_principal(each) for each in found])

    async def DeletePrincipal(
        self, request: access_service_pb2.DeletePrincipalRequest, context: Context
    ) -> access_service_pb2.DeletePrincipalResponse:
        """Delete a principal and its tokens, and answer when the deletion is on disk."""
        _check_authenticated()
        revoked = await self._access.change(lambda book: book.delete(request.name))
        return access_service_pb2.DeletePrincipalResponse(revoked_tokens=revoked)

    async def WhoAmI(
        self, request: access_service_pb2.WhoAmIRequest, context: Context
    ) -> access_service_pb2.WhoAmIResponse:
        """Return the principal of the caller."""
        return access_service_pb2.WhoAmIResponse(principal=access_codec.encode_principal(current_principal()))

    async def Identify(
        self, request: access_service_pb2.IdentifyRequest, context: Context
    ) -> access_service_pb2.IdentifyResponse:
        """Return the principal of a credential that another server of the system has received from its caller."""
        serial = request.certificate_serial
        if request.WhichOneof("credential") is None and not serial:
            raise InvalidRequest.of(FieldError("credential", "is not set"))
        credential = Credential(request.token, request.spiffe_id, request.common_name, request.principal)
        if request.WhichOneof("credential") is not None and not credential.identifies:
            raise InvalidRequest.of(FieldError("credential", "is empty"))
        if len(serial) > MOST_SERIAL:
            raise InvalidRequest.of(FieldError("certificate_serial", f"must have at most {MOST_SERIAL} digits"))
        credential = replace(credential, serial=serial)
        if len(request.peer) > MOST_PEER or not request.peer.isprintable():
            raise InvalidRequest.of(FieldError("peer", f"must have at most {MOST_PEER} characters, all printable"))
        await self._access.open()
        revision = self._access.revision  # before the answer: it is at least as new
        try:
            principal = await self._access.identify(credential, request.peer)
        except Unauthenticated as error:
            # UNAUTHENTICATED would be about the credential of the server that asks.
            raise PrincipalNotFound("the credential is not valid") from error
        return access_service_pb2.IdentifyResponse(
            principal=access_codec.encode_principal(principal), revision=revision
        )

    async def ListAuditRecords(
        self, request: access_service_pb2.ListAuditRecordsRequest, context: Context
    ) -> access_service_pb2.ListAuditRecordsResponse:
        """Return a page of the audit log."""
        if request.limit > MAX_AUDIT:
            raise InvalidRequest.of(FieldError("limit", f"is {request.limit}; it must be at most {MAX_AUDIT}"))
        kind = wire.known("kind", AuditKind, request.kind) if request.kind else None
        wanted = AuditFilter(kind, request.actor, request.method, request.target)
        limit = request.limit or DEFAULT_AUDIT
        more = 0 if request.newest else 1
        found = await self._access.read_audit(request.after_number, limit + more, wanted, newest=request.newest)
        page = found[:limit]
        return access_service_pb2.ListAuditRecordsResponse(
            records=map(audit_codec.encode, page), next_after_number=page[-1].number if len(found) > limit else 0
        )

    async def AppendAuditRecords(
        self, request: access_service_pb2.AppendAuditRecordsRequest, context: Context
    ) -> access_service_pb2.AppendAuditRecordsResponse:
        """Accept audit records from another server. Records of acts are stored, and the call is answered when they are
        on disk; records of refusals are added to the counts of refusals."""
        _check_authenticated()
        if len(request.records) > MAX_AUDIT:
            raise InvalidRequest.of(too_many_elements("records", len(request.records), MAX_AUDIT))
        reporter = current_principal()
        reported = [_reported(f"records[{number}]", each) for number, each in enumerate(request.records)]
        records = self._reports.accept(reported, reporter, time.monotonic(), time.time())
        for each in records:
            if each.kind is not AuditKind.ACT:
                self._trail.refused(each, "" if is_judge(reporter) else reporter.name)
        acts = [each for each in records if each.kind is AuditKind.ACT]
        if acts:
            try:
                await self._access.append_audit(acts)
            except AccessStoreError as error:
                log.error("audit_not_written", why=str(error), acts=len(acts), via=reporter.name)
                raise Draining("the audit log cannot be written; see the log of the registry") from error
        return access_service_pb2.AppendAuditRecordsResponse()

    async def WatchAccess(
        self, request: access_service_pb2.WatchAccessRequest, context: Context
    ) -> AsyncIterator[access_service_pb2.WatchAccessResponse]:
        """Yield the current revision of the principals and tokens, and yield it again after each change and at least
        once per second. A slow reader receives only the newest revision."""
        watchers, name = self._watchers, current_principal().name
        if watchers.total >= MAX_WATCHERS:
            raise QuotaExceeded(f"{MAX_WATCHERS} servers are watching; no more are allowed")
        if watchers.of(name) >= MAX_WATCHERS_EACH:
            raise QuotaExceeded(f"{name} has {MAX_WATCHERS_EACH} open watches; no more are allowed")
        with watchers.one(name):
            await self._access.open()
            while True:
                seen = self._access.revisions.value
                yield access_service_pb2.WatchAccessResponse(revision=self._access.revision)
                await self._access.revisions.beyond(seen, 1.0)
                if self._loop.draining:
                    raise Draining("the registry is shutting down")


def _check_authenticated() -> None:
    """Raise PermissionDenied if the registry runs without authentication. Otherwise, anyone could create principals and
    tokens that become valid once authentication is enabled."""
    if current_principal() is LOCAL:
        raise PermissionDenied(
            "the registry runs without [security] authentication, so anyone could create tokens and grants, which "
            "would become valid once authentication is enabled; to enable authentication, run: tron security enable"
        )


def _reported(field: str, message: access_pb2.AuditRecord) -> AuditRecord:
    """Return an audit record as another server reported it. Raises InvalidRequest."""
    texts = {name: getattr(message, name) for name in ("actor", "method", "target", "outcome", "peer", "via")}
    errors = [
        FieldError(f"{field}.{name}", f"must have at most {MOST_AUDIT_TEXT} characters, all printable")
        for name, text in texts.items()
        if len(text) > MOST_AUDIT_TEXT or not text.isprintable()
    ]
    if not message.kind:
        errors.append(FieldError(f"{field}.kind", "is not set"))
    if errors:
        raise InvalidRequest.of(*errors)
    kind = wire.known(f"{field}.kind", AuditKind, message.kind)
    at = wire.checked_epoch(f"{field}.at", message.at)
    return AuditRecord(at, kind, **texts, count=min(max(message.count, 1), MOST_AUDIT_COUNT))


def _principal(found: Registered) -> access_pb2.Principal:
    message = access_codec.encode_principal(found.principal())
    message.description, message.disabled = found.description, found.disabled
    return message


def _token(token: Token, last_used_at: float | None) -> access_pb2.Token:
    message = access_pb2.Token(
        token_id=token.token_id,
        principal=token.principal,
        description=token.description,
        created_at=wire.timestamp_at(token.created_at),
        created_by=token.created_by,
    )
    if token.expires_at is not None:
        message.expires_at.CopyFrom(wire.timestamp_at(token.expires_at))
    if last_used_at is not None:
        message.last_used_at.CopyFrom(wire.timestamp_at(last_used_at))
    return message


def _denied(found: DeniedJwt) -> access_pb2.DeniedJwt:
    message = access_pb2.DeniedJwt(
        issuer=found.issuer,
        jwt_id=found.jwt_id,
        description=found.description,
        denied_at=wire.timestamp_at(found.denied_at),
        denied_by=found.denied_by,
    )
    if found.ends_at is not None:
        message.ends_at.CopyFrom(wire.timestamp_at(found.ends_at))
    return message
