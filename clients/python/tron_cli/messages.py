"""The sentences that commands print: results, errors and hints, in one place so that they can be edited as text.

The help of commands and options is written where they are declared.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

# --- usage ------------------------------------------------------------------------------------------------------------

WHICH_ALERTS = "give one of these: an ALERT_ID, --all, or a filter (--service, --recipient or both)"
ONE_AT_A_TIME = "use only one of these options at a time"
FORCE_NEEDS_CHANGES = "--force requires a service and its changes: --service ID NAME=VALUE"
FORCE_HINT = "; use --force to set thresholds of a service that is not registered yet"
OVERRIDES_ONLY_LISTS = (
    "--overrides lists all overrides and cannot be combined with other arguments; for one service, use --service ID"
)
OFF_TAKES_NOTHING = "--off cannot be combined with --for or --reason"
NAME_A_SERVICE = "give the ID of a service"
SERVICE_OF_A_CATALOGUE = "--service requires --catalogue"
NAME_OR_CATALOGUE = "--name or --catalogue is required"
NEEDS_DEMO = "--catalogue requires --demo"


def not_with(other: str) -> str:
    return f"this option cannot be combined with {other}"


def not_a_label(word: str) -> str:
    return f"the label {word!r} is invalid; write key=text, or key:=json for a value that is not a string"


def label_is_not_json(word: str, value: str) -> str:
    return f"the label {word!r} is invalid: {value!r} is not JSON"


def not_name_value(word: str) -> str:
    return f"{word!r} does not have the form NAME=VALUE"


def no_such_program(name: str) -> str:
    return f"no such program: {name}"


# --- reaching the servers ---------------------------------------------------------------------------------------------


def nothing_listens(name: str, address: str) -> str:
    return f"no {name} is running at {address}; start one with: tron up"


def no_answer_in_time(name: str, address: str) -> str:
    return f"the {name} at {address} did not answer in time; is it overloaded or stopped?"


def something_else_listens(name: str, address: str, what: str) -> str:
    return f"no {name} is running at {address}: {what}"


def does_not_answer(name: str, address: str, why: str) -> str:
    return f"{name} at {address} does not answer: {why}"


def tron_without_registry(address: str) -> str:
    return f"TRON at {address} cannot reach the registry"


def no_tron(registry: str) -> str:
    return f"TRON is not registered at the registry {registry}; if TRON is running, give its address with --monitor"


def tron_unreachable(error: Exception) -> str:
    return f"{error}; use --monitor to give an address at which TRON can be reached"


# --- services and alerts ----------------------------------------------------------------------------------------------

NO_SERVICES = "No services are registered. Try: tron run --id hello --name hello -- sleep 60"
NO_SERVICES_MATCH = "No services match."
NO_SERVICE_IS_GONE = "No service was removed recently."
SNAPSHOT_ENDS = "-- end of the snapshot; live changes follow --"
SNAPSHOT_FOLLOWS = "-- too many changes were missed; a new snapshot follows --"
NO_EVENTS = "There are no events yet."
NO_EVENTS_MATCH = "No events match."
NO_ALERT_WAITS = "All alerts are acknowledged."
ACKNOWLEDGED_BEFORE = "The alert was already acknowledged."


def acknowledged(counts: Iterable[str]) -> str:
    return f"Acknowledged {' and '.join(counts)}."


def registered(service_id: str, incarnation: int) -> str:
    return f"Registered {service_id} (incarnation {incarnation})."


def deregistered(service_id: str) -> str:
    return f"Deregistered {service_id}."


def released(service_id: str, owner: str) -> str:
    return f"Released {service_id}, which belonged to {owner}."


# --- judgement --------------------------------------------------------------------------------------------------------

UNLESS_A_HEARTBEAT_ARRIVES = "unless a heartbeat arrives"
TRON_NOT_WATCHING = "TRON receives no data from the registry: liveness is not being evaluated."
MASS_FAILURE = "A mass failure is in progress: alerts about the failed services are held."
NO_OVERRIDES = "No service has overrides."
NO_ALERTS_HELD = "No service is under maintenance."


def alerts_sent_again(service_id: str) -> str:
    return f"Alerts about {service_id} are no longer held."


def alerts_held(service_id: str, until: str) -> str:
    return f"Alerts about {service_id} are held {until}."


# --- self-test --------------------------------------------------------------------------------------------------------

SELF_TEST_PASSED = "All four phases passed."
SELF_TEST_FAILED = "The self-test failed."
TRON_ANSWERS_WITHOUT_DATA = "TRON answers, but receives no data from the registry: liveness is not being evaluated"
PARENT_NOTIFIED = "the parent received service_down over its own stream and acknowledged it"


def parent_not_notified(seconds: float) -> str:
    return f"the parent was not notified within {seconds:g} s"


# --- programs as agents -----------------------------------------------------------------------------------------------


def runs_as(service_id: str, pid: int) -> str:
    return f"{service_id} runs as process {pid}"


def taken_over(service_id: str) -> str:
    return f"another process took over {service_id}; TRON no longer watches this process"


def not_restarted(ending: str, asked: str) -> str:
    return f"the program {ending}; it is not restarted, because {asked} asked it to stop"


def end_not_reported(why: str) -> str:
    return f"could not report to the registry how the program ended: {why}"


def healthy(status: str) -> str:
    return f"is healthy ({status})"


def no_heartbeat(why: str) -> str:
    return f"is not healthy, so no heartbeat is sent: {why}"


def sends_its_own(service_id: str) -> str:
    return f"{service_id} sends its own heartbeats, so it is not probed"


def url_unreadable(url: str) -> str:
    return f"the URL {url!r} is invalid"


def url_uncheckable(url: str) -> str:
    return f"the URL {url!r} cannot be probed; it must begin with http://, https://, or grpc:// or tcp:// with a port"


def url_does_not_answer(url: str, error: Exception) -> str:
    return f"{url} does not answer: {error or type(error).__name__}"


def no_connection(address: str, error: Exception) -> str:
    return f"{address} does not accept connections: {error or type(error).__name__}"


def rejected(why: str) -> str:
    return f"the registry rejected the registration: {why}"


def not_accepted(why: str) -> str:
    return f"the registration failed: {why}"


# --- tron up ----------------------------------------------------------------------------------------------------------

NEW_DATA_DIRECTORY = "New, empty data directory"
STOP_AND_TRY = "Press Ctrl-C to stop. In another terminal, try:\n"
KILLING_THE_REST = "killing the programs that are still running"


def no_settings_file(path: str) -> str:
    return f"settings file {path}: no such file"


def address_in_use(flag: str, address: str, other: str) -> str:
    return f"{flag}: the address {address} is already used by {other}; choose another address"


def no_temporary_folder(why: str) -> str:
    return f"no folder for temporary files is usable ({why}); set TMPDIR to a folder that you can write to"


def data_dir_in_use(path: str) -> str:
    return f"another `tron up` is using {path}; stop it first, or choose another --data-dir"


def restarting(name: str, ending: str, delay: float) -> str:
    return f"{name} {ending}; it will be restarted in {delay:.1f} s"


def still_not_ready(name: str) -> str:
    return f"{name} is still not ready"


def serving_again(name: str, address: str, pid: int) -> str:
    return f"{name} is serving again at {address} (pid {pid})"


def ready_file_not_written(path: str, why: str) -> str:
    return f"the ready file {path} could not be written: {why}; trying again"


def did_not_drain(name: str, seconds: float) -> str:
    return f"{name} did not drain within {seconds:.0f} s and will be killed"


# --- backups ----------------------------------------------------------------------------------------------------------


def backed_up(folder: str, summary: str) -> str:
    return f"Backed up to {folder}: {summary}."


def backup_complete(made_at: str, summary: str) -> str:
    return f"The backup of {made_at} is complete: {summary}."


def restored(made_at: str, folder: str, summary: str) -> str:
    return f"Restored the backup of {made_at} to {folder}: {summary}."


def previous_content(folder: str) -> str:
    return f"The previous content is in {folder}."


# --- the support bundle ----------------------------------------------------------------------------------------------


def file_exists(path: str) -> str:
    return f"{path} already exists; choose another file with --output"


def bundle_written(path: str, size: int) -> str:
    return f"Wrote {path} ({size / 1024:.0f} KB). Review it before you send it."


def not_in_bundle(what: str) -> str:
    return f"not in the bundle: {what}"


# --- the demo ---------------------------------------------------------------------------------------------------------

NO_DEMO_THERE = "no demo is running at this registry"
ANOTHER_DEMO = "another demo is running at this registry; stop it first"
DEMO_IS_ENDING = "the demo is shutting down"
DEMO_ENDED = "the demo ended before it answered the request"
TOO_MANY_CALLERS = "too many commands are using the demo at once; try again"
ORDER_IS_AN_OBJECT = "an order must be a JSON object"
KILLED = "killed"
KILLED_UNTIL_RESUMED = "killed; it will be killed again after each restart until you use --resume"
STOPPED = "stopped (SIGSTOP), so that it sends no heartbeats"
MADE_TO_STALL = "made to stall: it sends heartbeats but makes no progress"
STARTED_AGAIN = "started again"
LEFT_ALONE = "left as it is, because it runs normally"
MADE_TO_CONTINUE = "resumed"


def no_demo_at(registry: str) -> str:
    return f"no demo is running at the registry {registry}; start one with: tron demo"


def demo_did(name: str, what: str) -> str:
    return f"{name} was {what}."


def demo_did_not_answer(seconds: float) -> str:
    return f"the demo did not answer within {seconds:g} s"


def demo_unreachable(why: str) -> str:
    return f"cannot connect to the demo: {why}"


def socket_folder_unusable(folder: Path, why: str | None) -> str:
    return f"the folder {folder} cannot be used for the demo's socket: {why}"


def socket_path_too_long(path: Path) -> str:
    return f"the path {path} is too long for a socket; set XDG_RUNTIME_DIR to a folder with a shorter path"


def unknown_order(order: object, known: Iterable[str]) -> str:
    return f"{order!r} is not a valid order; the orders are {', '.join(known)}"


def killed_before_it_registered(service_id: str) -> str:
    return f"{service_id} was killed again before it registered"


def of_the_system(service_id: str) -> str:
    return f"{service_id} is part of the system, not of the demo"


def not_registered_within(service_id: str, seconds: float) -> str:
    return f"{service_id} was not registered within {seconds:g} s"


def ended_before_registered(service_id: str, ending: str) -> str:
    return f"{service_id} {ending} before it was registered"


def does_not_run(service_id: str) -> str:
    return f"{service_id} is not running; start it with: tron demo --resume '{service_id}'"


# --- fleet files ------------------------------------------------------------------------------------------------------


def none_of(word: str, known: Iterable[str]) -> str:
    """Return the error for a word that is not one of the values that an option accepts."""
    return f"{word!r} is not one of {', '.join(known)}"


LABELS_MUST_BE_JSON = "must have values that JSON supports; write dates and times as strings"
DEFAULTS_MUST_BE_A_TABLE = "defaults: [defaults] must be a table, and so must its labels"
SERVICE_MUST_BE_TABLES = "service: [[service]] must be an array of tables"
NO_SERVICE = "the file has no [[service]] table"


def no_such_catalogue(known: str) -> str:
    return f"there is no file and no built-in catalogue with this name (built-in catalogues: {known})"


def already_used(word: str, number: int) -> str:
    return f"{word!r} is already used by service number {number} of the file"


def ttl_too_short(ttl: float, interval: float) -> str:
    return f"the ttl of {ttl:g} s is below the heartbeat_interval of {interval:g} s"


def cycle(names: Iterable[str]) -> str:
    return f"would create a cycle of parents: {' -> '.join(names)}"


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
    "this is a token, not the id of a token; other users may have seen it on the command line: revoke "
    "it by its id, the first 8 characters after tron_"
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
        f"the JWT in {file} has no id (jti), so it cannot be denied alone; to deny its principal, run: "
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
    return f"{name!r} is neither monitor nor gateway; the registry creates its own token"


def program_token_made(program: str, file: str) -> str:
    return f"Wrote the token of the {program} to {file}; set token_file in [{program}] of the settings to this path"


def admin_now(principal: str) -> str:
    return f"{principal} is an administrator now."


def authenticate_first(command: str, *, certificates: bool) -> str:
    if certificates:
        return f"Callers must authenticate. To create an administrator, run: {command} security grant-admin PRINCIPAL"
    return f"Callers must authenticate. To create an administrator token, run: {command} security admin-token"
