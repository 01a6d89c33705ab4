"""What must be so in the end, when nothing goes wrong any more."""

from __future__ import annotations

from collections.abc import Sequence

from grid_model.liveness import Liveness, LivenessCause

from registry_server.core.record import Record
from registry_server.core.service import Service
from tests.simulation.bounds import silent_since
from tests.simulation.network import DOWN
from tests.simulation.observer import Observer
from tests.simulation.sim_agent import SimAgent
from tests.simulation.sim_readers import SimSubscriber, SimWatcher


def unrest(observer: Observer, watchers: Sequence[SimWatcher], subscriber: SimSubscriber) -> tuple[str, str] | None:
    """What is not yet as it must be in the end, and which promise that is; None where everything is."""
    if observer.chain_well_since is None:
        return "FRESH", "nobody judges"
    core = observer.registry.core
    for service_id, processes in observer.processes.items():
        record = core.records.get(service_id)
        unrest = _unrest_of(observer, service_id, processes, record)
        if unrest is not None:
            return unrest
    if observer.tron.holds_notices:
        return "GUARD", "the guard against mass failures is still up"
    unheard = observer.hearing.unheard()
    if unheard:
        return "P3", unheard
    for watcher in watchers:
        view = {service_id: _seen(service) for service_id, service in watcher.view.items()}
        if view != {each: _seen(core.view(record)) for each, record in core.records.items()}:
            return "P7", f"{watcher.name} does not have what the registry has"
    if subscriber.sequence < core.last_event and core.first_event <= core.last_event:
        return "P7", f"{subscriber.name} has {subscriber.sequence} events of {core.last_event}"
    return None


def _unrest_of(
    observer: Observer, service_id: str, processes: list[SimAgent], record: Record | None
) -> tuple[str, str] | None:
    claimants = [each for each in processes if each.up and not each.over]
    if silent_since(processes) is not None or not claimants:
        if record is not None and record.judgement.liveness is not Liveness.DOWN:
            return "P3", f"{service_id} cannot be heard, and is judged {record.judgement.liveness.name}"
        return None
    audible = [each for each in claimants if silent_since([each]) is None and not each.path.blocked[DOWN]]
    if not audible:
        return None  # it can speak and not hear: both judgements are right
    if len(audible) > 1:
        return "P5", f"{' and '.join(each.name for each in audible)} both hold {service_id}"
    agent = audible[0]
    if record is None or record.session is None or agent not in observer.well_since:
        return "P2", f"{agent.name} runs, and is not registered and heard"
    if record.incarnation != agent.incarnation:
        return "P5", f"{agent.name} believes in {agent.incarnation}, the registry in {record.incarnation}"
    judgement = record.judgement
    stalled = agent.stalled and record.spec.stall_after is not None
    if judgement.liveness is not Liveness.ALIVE and not stalled:
        return "P2", f"{agent.name} is well and is judged {judgement.liveness.name} ({judgement.cause.name})"
    if service_id in observer.hearing.down_said:
        return "ALERT", f"{service_id} is well, and that it was down was not taken back"
    return None


def _seen(service: Service) -> tuple[int, bool, Liveness, LivenessCause]:
    return service.incarnation, service.connected, service.liveness, service.cause
