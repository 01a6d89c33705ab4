"""The client with which administrators manage the registry's principals, grants and tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc
from grid.access.v1 import access_service_pb2, access_service_pb2_grpc
from grid_model import access_codec, wire
from grid_model.access import Grant, Principal, Role

from tron_client import arguments
from tron_client.channel import resolve_address
from tron_client.connection import Connection
from tron_client.errors import from_rpc_error
from tron_client.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from types import TracebackType

    from grid.access.v1 import access_pb2

    from tron_client.address import Address

ROLES = Words("role", Role.__members__, lower=True)

AUDIT_KINDS = Words("kind", {"ACT": 1, "REFUSAL": 2, "DROPPED": 3}, lower=True)

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """The data that the registry keeps about one token, without the token itself."""

    token_id: str
    principal: str
    description: str = ""
    created_at: datetime | None = None
    created_by: str = ""
    expires_at: datetime | None = None
    """The time at which the token expires; None if it does not expire."""
    last_used_at: datetime | None = None
    """The time at which the token was last used, to the minute; None if it was never used."""


@dataclass(frozen=True, slots=True)
class CreatedToken:
    """A new token. `secret` is the token itself, which the registry cannot show again."""

    secret: str = field(repr=False)
    info: TokenInfo


@dataclass(frozen=True, slots=True)
class DeniedJwtInfo:
    """A denied JSON Web Token, identified by its issuer (`iss`) and the id that the issuer gave it (`jti`)."""

    issuer: str
    jwt_id: str
    description: str = ""
    denied_at: datetime | None = None
    denied_by: str = ""
    ends_at: datetime | None = None
    """The time at which the token expires; None if that is not known."""


@dataclass(frozen=True, slots=True)
class PrincipalInfo:
    """A principal and its grants, as the registry stores them."""

    name: str
    group: str = ""
    grants: tuple[Grant, ...] = ()
    description: str = ""
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One record of the audit log."""

    number: int
    at: datetime
    kind: str
    """The kind of record: `act`, `refusal`, or `dropped` (a number of refusals without records of their own)."""
    actor: str
    """The principal that made the call; for a caller that was not authenticated, the network from which it called."""
    method: str
    target: str = ""
    outcome: str = ""
    """`OK`, or the reason why the call was refused."""
    peer: str = ""
    via: str = ""
    """The relay that made the call on behalf of the actor; empty if there was no relay."""
    count: int = 1
    """The number of calls that this record represents."""


@dataclass(frozen=True, slots=True)
class AuditPage:
    """One page of the audit log. Pass `next_after_number` as `after_number` to get the next page; it is 0 after the
    last page."""

    records: tuple[AuditRecord, ...]
    next_after_number: int


class AccessClient:
    """A client of the registry's access control, for programs with threads. It is thread-safe, and a context manager.
    Every call has a deadline, and raises a TronError if it fails."""

    def __init__(self, address: Address | str | None = None, *, timeout: float = 5.0) -> None:
        """Create a client of the registry; `timeout` is the deadline of each call, in seconds. Raises ValueError for an
        invalid address."""
        self._timeout = arguments.seconds("timeout", timeout)
        self._address = resolve_address(arguments.optional_address("address", address), "address")
        self._connection = Connection(self._address, access=access_service_pb2_grpc.AccessServiceStub)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def who_am_i(self) -> Principal:
        """Return the principal of this client; `local` if the registry has no authentication."""
        return access_codec.decode_principal(self._do("WhoAmI", access_service_pb2.WhoAmIRequest()).principal)

    def create_token(
        self,
        principal: str,
        grants: Iterable[Grant] = (),
        *,
        lifetime: float | None = None,
        description: str = "",
        group: str = "",
    ) -> CreatedToken:
        """Create a token for the principal `token:NAME`. If the principal does not exist, it is created with these
        grants and this group. `lifetime` is in seconds; if it is None, the token does not expire."""
        request = access_service_pb2.CreateTokenRequest(
            principal=arguments.text("principal", principal),
            grants=[access_codec.encode_grant(each) for each in grants],
            lifetime=wire.duration(arguments.optional_seconds("lifetime", lifetime)),
            description=arguments.text("description", description),
            group=arguments.text("group", group),
        )
        answer = self._do("CreateToken", request)
        return CreatedToken(answer.secret, _token(answer.token))

    def list_tokens(self, principal: str = "") -> tuple[TokenInfo, ...]:
        """Return all tokens, or those of one principal; oldest first."""
        request = access_service_pb2.ListTokensRequest(principal=arguments.text("principal", principal))
        return tuple(_token(each) for each in self._do("ListTokens", request).tokens)

    def revoke_token(self, token_id: str) -> TokenInfo:
        """Revoke a token; open calls with this token end within a second. Raises TokenNotFound."""
        request = access_service_pb2.RevokeTokenRequest(token_id=arguments.text("token_id", token_id))
        return _token(self._do("RevokeToken", request).token)

    def deny_jwt(
        self, issuer: str, jwt_id: str, *, description: str = "", ends_at: datetime | None = None
    ) -> DeniedJwtInfo:
        """Deny a JSON Web Token: it is refused from now on, and its open calls end within a second. `jwt_id` is its
        claim `jti`; `ends_at` is the time at which it expires, if that is known."""
        request = access_service_pb2.DenyJwtRequest(
            issuer=arguments.text("issuer", issuer),
            jwt_id=arguments.text("jwt_id", jwt_id),
            description=arguments.text("description", description),
            ends_at=wire.timestamp(ends_at),
        )
        return _denied(self._do("DenyJwt", request).denied)

    def allow_jwt(self, issuer: str, jwt_id: str) -> DeniedJwtInfo:
        """Accept a denied JSON Web Token again. Raises TokenNotFound if it is not denied."""
        request = access_service_pb2.AllowJwtRequest(
            issuer=arguments.text("issuer", issuer), jwt_id=arguments.text("jwt_id", jwt_id)
        )
        return _denied(self._do("AllowJwt", request).allowed)

    def list_denied_jwts(self) -> tuple[DeniedJwtInfo, ...]:
        """Return the denied JSON Web Tokens, oldest first."""
        answer = self._do("ListDeniedJwts", access_service_pb2.ListDeniedJwtsRequest())
        return tuple(map(_denied, answer.denied))

    def put_principal(self, principal: PrincipalInfo) -> PrincipalInfo:
        """Create a principal, or replace the one with the same name; return it as the registry stored it."""
        message = access_codec.encode_principal(Principal(principal.name, principal.grants, principal.group))
        message.description, message.disabled = principal.description, principal.disabled
        answer = self._do("PutPrincipal", access_service_pb2.PutPrincipalRequest(principal=message))
        return _principal(answer.principal)

    def change_grants(
        self,
        principal: str,
        add: Iterable[Grant] = (),
        remove: Iterable[Grant] = (),
        *,
        disabled: bool | None = None,
        group: str | None = None,
    ) -> PrincipalInfo:
        """Add grants to a principal and remove others, in one step. A principal that does not exist is created.

        `disabled` sets whether the credentials of the principal are refused, and `group` sets the group of the
        principal. None leaves the present value unchanged. The name `serial:HEX` means the certificate with this serial
        number.
        """
        request = access_service_pb2.ChangeGrantsRequest(
            principal=arguments.text("principal", principal),
            add=[access_codec.encode_grant(each) for each in add],
            remove=[access_codec.encode_grant(each) for each in remove],
            disabled=disabled,
            group=None if group is None else arguments.text("group", group),
        )
        return _principal(self._do("ChangeGrants", request).principal)

    def get_principal(self, name: str) -> PrincipalInfo:
        """Return one principal. Raises PrincipalNotFound."""
        request = access_service_pb2.GetPrincipalRequest(name=arguments.text("name", name))
        return _principal(self._do("GetPrincipal", request).principal)

    def list_principals(self) -> tuple[PrincipalInfo, ...]:
        """Return all principals, sorted by name."""
        answer = self._do("ListPrincipals", access_service_pb2.ListPrincipalsRequest())
        return tuple(_principal(each) for each in answer.principals)

    def delete_principal(self, name: str) -> int:
        """Delete a principal and revoke its tokens; return the number of these tokens. Raises PrincipalNotFound."""
        request = access_service_pb2.DeletePrincipalRequest(name=arguments.text("name", name))
        return int(self._do("DeletePrincipal", request).revoked_tokens)

    def list_audit_records(
        self,
        after_number: int = 0,
        *,
        limit: int = 100,
        newest: bool = False,
        kind: str = "",
        actor: str = "",
        method: str = "",
        target: str = "",
    ) -> AuditPage:
        """Return a page of the audit log, oldest record first: the records after `after_number` that match all given
        fields. With `newest`, the page contains the newest of the matching records. `kind` is `act`, `refusal`, or
        `dropped` (refusals that were too many to have one record each). `limit` is at most 1000."""
        request = access_service_pb2.ListAuditRecordsRequest(
            after_number=arguments.whole("after_number", after_number),
            limit=arguments.whole("limit", limit),
            newest=newest,
            kind=AUDIT_KINDS.number(kind) if kind else 0,  # type: ignore[arg-type]
            actor=arguments.text("actor", actor),
            method=arguments.text("method", method),
            target=arguments.text("target", target),
        )
        answer = self._do("ListAuditRecords", request)
        return AuditPage(tuple(map(_audit_record, answer.records)), int(answer.next_after_number))

    def _do(self, method: str, request: Any) -> Any:
        call: Callable[..., Any] = getattr(self._connection.stub("access"), method)
        try:
            return call(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self._address) from error


def _principal(message: access_pb2.Principal) -> PrincipalInfo:
    found = access_codec.decode_principal(message)
    return PrincipalInfo(found.name, found.group, found.grants, message.description, message.disabled)


def _audit_record(message: access_pb2.AuditRecord) -> AuditRecord:
    return AuditRecord(
        number=message.number,
        at=wire.moment(message.at),
        kind=AUDIT_KINDS.word(message.kind),
        actor=message.actor,
        method=message.method,
        target=message.target,
        outcome=message.outcome,
        peer=message.peer,
        via=message.via,
        count=message.count,
    )


def _denied(message: access_pb2.DeniedJwt) -> DeniedJwtInfo:
    return DeniedJwtInfo(
        issuer=message.issuer,
        jwt_id=message.jwt_id,
        description=message.description,
        denied_at=wire.moment(message.denied_at),
        denied_by=message.denied_by,
        ends_at=wire.moment(message.ends_at) if message.HasField("ends_at") else None,
    )


def _token(message: access_pb2.Token) -> TokenInfo:
    def moment(name: str) -> datetime | None:
        return wire.moment(getattr(message, name)) if message.HasField(name) else None  # type: ignore[arg-type]

    return TokenInfo(
        token_id=message.token_id,
        principal=message.principal,
        description=message.description,
        created_at=moment("created_at"),
        created_by=message.created_by,
        expires_at=moment("expires_at"),
        last_used_at=moment("last_used_at"),
    )
