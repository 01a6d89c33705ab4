"""The sentences that commands print about certificates, tokens, grants and the security of a system, in one place so
that they can be edited as text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

# --- certificates -----------------------------------------------------------------------------------------------------

NEEDS_CRYPTOGRAPHY = "this command needs the package cryptography; install it with: pip install 'tron-grid[server]'"


def no_ca_in(folder: Path) -> str:
    return f"there is no CA in {folder}; create one with: tron ca init {folder}"


def ca_made(certificate: str, spiffe_id: str) -> str:
    return f"Created the CA {certificate} for {spiffe_id}."


def ca_next(option: str) -> tuple[str, ...]:
    return (
        "Create certificates with, for example:",
        f"  tron ca issue registry --server --dns registry.example{option}",
        f"  tron ca issue worker-1{option}",
    )


def certificate_made(spiffe_id: str, end: str, hosts: str) -> str:
    of_hosts = f" and the hosts {hosts}" if hosts else ""
    return f"The certificate is for {spiffe_id}{of_hosts}, and is valid until {end}."


def certificate_settings(ca: str, cert: str, key: str, *, server: bool) -> tuple[str, ...]:
    lines = (
        "For clients, set these environment variables:",
        f"  TRON_CA={ca}",
        f"  TRON_CERT={cert}",
        f"  TRON_KEY={key}",
    )
    if not server:
        return lines
    settings = ("For servers, add these settings to tron.toml:", "  [security]", f'  cert = "{cert}"')
    return (*settings, f'  key = "{key}"', f'  client_ca = "{ca}"', *lines)


# --- tokens and grants ------------------------------------------------------------------------------------------------

NO_TOKENS = "There are no tokens."
NO_PRINCIPALS = "There are no principals."
NO_RIGHTS = "no rights"
TOKEN_TO_STDOUT = "`--out -` requires --name, and cannot be combined with --json"
TOKEN_AS_ARGUMENT = (
    "this is a token, not the id of a token; other users may have seen it on the command line, so revoke "
    "it by its id (the first 8 characters after tron_)"
)


def token_created(token_id: str, principal: str, rights: str, end: str) -> str:
    until = f"is valid until {end}" if end else "does not expire"
    return f"Created the token {token_id} of {principal} ({rights}); it {until}."


def token_use(file: str) -> str:
    return f"To use the token, set TRON_TOKEN_FILE={file}"


def denied_now(name: str) -> str:
    return f"{name} is refused from now on; to undo this, run: tron grant allow {name}"


def allowed_now(name: str) -> str:
    return f"{name} is no longer refused."


def token_revoked(token_id: str, principal: str) -> str:
    return f"Revoked the token {token_id} of {principal}."


def rights_now(principal: str, rights: str) -> str:
    return f"{principal} now has these rights: {rights}."


NO_DENIED = "No JWTs are denied."
NAME_A_JWT = "identify the JWT either by --issuer and --jti, or by --file"


def jwt_denied(jwt_id: str, issuer: str) -> str:
    return f"Denied the JWT {jwt_id} of {issuer}."


def jwt_allowed(jwt_id: str, issuer: str) -> str:
    return f"The JWT {jwt_id} of {issuer} is no longer denied."


def not_a_jwt(file: str) -> str:
    return f"{file} does not contain a JWT"


def jwt_without_id(file: str, issuer: str, subject: str) -> str:
    return (
        f"the JWT in {file} has no id (jti), so it cannot be denied individually; to deny its principal, run: "
        f"tron grant deny 'jwt:{issuer}#{subject}'"
    )


def who_you_are(principal: str, group: str, rights: str, end: str) -> str:
    of_group = f" (group {group})" if group else ""
    until = f"; the credential expires at {end}" if end else ""
    return f"{principal}{of_group}: {rights}{until}"


def needs_ids(role: str) -> str:
    return f"the role {role} requires the ids for which it is granted; '*' means all ids"


def not_a_grant(text: str) -> str:
    return f"{text!r} is not a valid grant; write a role and a pattern, for example 'observer *'"


def not_a_lifetime(text: str) -> str:
    return f"{text!r} is not a valid lifetime; write, for example, 12h, 90d or 1y, or never"


def token_file_exists(path: str) -> str:
    return f"{path} already exists; use --force to replace it"


def no_folder(path: str) -> str:
    return f"{path}: there is no such directory"


# --- tron security ----------------------------------------------------------------------------------------------------

AUTHENTICATION_DIFFERS = "authentication must have the same value for all programs of tron up; set it in [security]"
TOKEN_OF_ONE_HOUR = "Wrote an administrator token, valid for one hour, to {}"


def secured_already(settings: str) -> str:
    why = f"{settings}: authentication is already enabled"
    return f"{why}; to create an administrator token, run: tron security admin-token"


KEEP_OR_REVOKE = "--keep-access and --revoke-access cannot be combined"


def access_of(grants: Iterable[object], tokens: int) -> str:
    """Return the rights of a principal, and the number of its valid tokens, as text."""
    rights = ", ".join(map(str, grants)) or NO_RIGHTS
    return f"{rights} ({tokens} valid {'token' if tokens == 1 else 'tokens'})"


ACCESS_LISTED = "The data directory already has these principals:"


def access_exists(folder: str) -> str:
    return (
        f"the tokens of the principals in {folder} would be accepted from now on; nothing was changed. If you know all "
        "of these principals, add --keep-access (to revoke a single token later: tron token revoke); otherwise delete "
        "them with --revoke-access"
    )


def access_kept(count: int) -> str:
    return f"Kept {count} {'principal' if count == 1 else 'principals'} and their tokens; see: tron grant list"


def access_revoked(count: int) -> str:
    return f"Deleted {count} {'principal' if count == 1 else 'principals'} and their tokens"


def settings_written(settings: str) -> str:
    return f"Wrote [security] to {settings}"


def settings_to_write(settings: str) -> str:
    return f"Add these lines to [security] in {settings}:"


def secured_next(ca: str, token: str) -> tuple[str, ...]:
    trust = f"TRON_CA={ca} " if ca else ""
    return (
        "Then restart the system: tron up",
        "To manage the system, set these variables:",
        f"  export {trust}TRON_TOKEN_FILE={token}",
        "For each kind of agent, create a token:",
        "  tron token create --role agent --ids 'worker-*' --out worker.token",
        "Agents need the CA certificate and their token:",
        f"  {trust}TRON_TOKEN_FILE=worker.token",
        "For yourself, create a token that is valid for longer: tron token create --role admin --out me.token",
    )


def renew_certificate(name: str, days: int, option: str) -> str:
    return (
        f"The certificate of the servers is valid for {days} days. Before it expires, run: tron ca renew {name}{option}"
    )


def no_registry_in(folder: str) -> str:
    return f"no registry has run in {folder}; set --data-dir to the data directory of tron up, or of the registry"


def not_your_directory(folder: str, owner: str) -> str:
    return f"{folder} belongs to {owner}, who could not read the new files; run this command as {owner}"


def not_a_program(name: str) -> str:
    return f"{name!r} is not a program with a token of its own; write monitor or gateway"


def program_token_made(program: str, file: str) -> str:
    return f"Wrote the token of the {program} to {file}; set token_file in [{program}] of the settings to this path"


def admin_now(principal: str) -> str:
    return f"{principal} is an administrator now."


def authenticate_first(command: str, *, certificates: bool) -> str:
    if certificates:
        return f"Callers must authenticate. To create an administrator, run: {command} security grant-admin PRINCIPAL"
    return f"Callers must authenticate. To create an administrator token, run: {command} security admin-token"
