"""Settings of TRON: `tron.toml` table `[monitor]`, environment TRON_MONITOR_*, flags of `tron monitor`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from grid_model.policy import OrphanPolicy
from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import CliImplicitFlag

from grid_hosting.dialing import Dial
from grid_hosting.program import Listen, OptionalListen, ProgramConfig
from grid_hosting.sinks.config import SinksConfig
from tron.policy import Policy
from tron.registry_loss import LOST_AFTER, LOST_AFTER_DRAIN

_DEFAULT = Policy()


class PolicyConfig(BaseModel):
    """Thresholds. All times in seconds; see `tron/policy.py` for what each trades."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    tolerance_ratio: float = _DEFAULT.tolerance_ratio
    """A miss is counted at n x interval + tolerance; tolerance is this share of the interval."""
    tolerance_min: float = _DEFAULT.tolerance_min
    """The tolerance is at least this long."""
    misses_before_warning: int = _DEFAULT.misses_before_warning
    """Missed heartbeats until a warning."""
    misses_before_down: int = _DEFAULT.misses_before_down
    """Missed heartbeats until down."""
    misses_before_deregister: int = _DEFAULT.misses_before_deregister
    """Missed heartbeats until the service is deregistered."""
    keep_down: float = _DEFAULT.keep_down
    """A service that is down stays registered for at least this long."""
    deregister: bool = _DEFAULT.deregister
    """Whether a service that is down is deregistered at all."""
    reconnect_grace: float = _DEFAULT.reconnect_grace
    """How long a broken stream may stay broken."""
    reattach_window: float = _DEFAULT.reattach_window
    """How long services may take to reconnect after the registry restarted or stalled."""
    escalate_after: float = _DEFAULT.escalate_after
    """How long an alert waits for its acknowledgement before it escalates to the next ancestor."""
    busy_cap: float = _DEFAULT.busy_cap
    """A service that declared itself busy is exempt for at most this long."""
    orphan_policy: Literal["keep", "stop", "adopt"] = "keep"
    """What the children of a service that is down should do: keep (continue), stop, or adopt (alerts about them go to
    the next ancestor that is not down)."""
    confirm_by_probe: bool = _DEFAULT.confirm_by_probe
    """Whether a refused connection to the url of a suspect confirms at once that it is down; see `probe_targets`."""
    flap_count: int = _DEFAULT.flap_count
    """After this many suspicions within `flap_window`, further ones raise no alert until the service was stable."""
    flap_window: float = _DEFAULT.flap_window
    """The window of `flap_count`."""
    guard_ratio: float = _DEFAULT.guard_ratio
    """The guard: in a mass failure more than this share of the live services ..."""
    guard_min: int = _DEFAULT.guard_min
    """... and at least this many ..."""
    guard_burst: float = _DEFAULT.guard_burst
    """... fail within this many seconds."""
    guard_window: float = _DEFAULT.guard_window
    """The guard ends this long after the last failure."""

    def values(self) -> dict[str, Any]:
        """The values that are set, as `Policy` takes them."""
        given = self.model_dump(exclude_unset=True)
        if "orphan_policy" in given:
            given["orphan_policy"] = OrphanPolicy[given["orphan_policy"].upper()]
        return given


class Config(ProgramConfig):
    """TRON, the heartbeat monitor: judges which services are alive, and notifies their parents."""

    listen: Listen = "127.0.0.1:6123"
    """Address to serve on, HOST:PORT. Port 0 picks a free port; no host means every interface of the machine."""
    registry: Dial = "127.0.0.1:6122"
    """Address of the registry."""
    data_dir: Path = Path("tron-data")
    """Folder for thresholds that operators set, and for notices that wait for a sink. What TRON judges is in the
    registry's store."""
    sinks: SinksConfig = SinksConfig()
    """Where notices to operators go, beside the log."""
    policy: PolicyConfig = PolicyConfig()
    """The thresholds for all services."""
    overrides: dict[str, PolicyConfig] = Field(default_factory=dict)
    """Thresholds for single services, by service_id; a value that is not set is as in `policy`."""
    probe_targets: tuple[str, ...] = ()
    """`host` or `host:port` that TRON may connect to if a policy asks to confirm by probe; a service chooses its own
    url."""
    registry_lost_after: float = Field(default=LOST_AFTER, gt=0, le=3600)
    """Seconds without an answer from the registry until operators are notified."""
    registry_lost_after_drain: float = Field(default=LOST_AFTER_DRAIN, gt=0, le=3600)
    """The same if the registry said that it is draining, and after TRON's own start."""
    metrics_listen: OptionalListen = "127.0.0.1:6125"
    """Where to serve metrics for Prometheus, as http://HOST:PORT/metrics. Port 0 picks a free port; empty: nowhere. An
    address in use is logged, and TRON runs without."""
    self_register: CliImplicitFlag[bool] = True
    """Register TRON itself, so that it appears like any other service."""

    def thresholds(self) -> dict[str, dict[str, Any]]:
        """The thresholds that are set, by service_id; the empty one means all services."""
        return {"": self.policy.values()} | {service_id: each.values() for service_id, each in self.overrides.items()}
