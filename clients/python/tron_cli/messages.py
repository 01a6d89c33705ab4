"""The sentences that commands print: results, errors and hints, in one place so that they can be edited as text.

The help of commands and options is written where they are declared.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

# --- usage ------------------------------------------------------------------------------------------------------------

WHICH_ALERTS = "give one of these: an ALERT_ID, --all, or a filter (--service, --recipient or both)"
ONE_AT_A_TIME = "use only one of these options at a time"
FORCE_NEEDS_CHANGES = "--force requires --service ID and at least one threshold to change, as NAME=VALUE"
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
STOPPED = "suspended (SIGSTOP), so that it sends no heartbeats"
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
DEFAULTS_MUST_BE_A_TABLE = "defaults: [defaults] must be a table, and so must the labels in it"
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
