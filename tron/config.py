"""The settings of TRON: table `[monitor]` of `tron.toml`, environment TRON_MONITOR_*, flags of `tron monitor`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from grid_model.policy import OrphanPolicy
from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import CliImplicitFlag

from grid_hosting.dialing import Dial
from grid_hosting.program import Listen, OptionalListen, ProgramConfig
from grid_hosting.security import OptionalFile
from grid_hosting.sinks.config import SinksConfig
from tron.policy import Policy
from tron.registry_loss import LOST_AFTER, LOST_AFTER_DRAIN

_DEFAULT = Policy()


class PolicyConfig(BaseModel):
    """Thresholds. All times are in seconds; `tron/policy.py` explains the trade-off of each."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    tolerance_ratio: float = _DEFAULT.tolerance_ratio
    """The n-th miss is counted after n x interval + tolerance; the tolerance is this share of the interval."""
    tolerance_min: float = _DEFAULT.tolerance_min
    """The tolerance is at least this many seconds."""
    misses_before_warning: int = _DEFAULT.misses_before_warning
    """Missed heartbeats after which a service is SUSPECT."""
    misses_before_down: int = _DEFAULT.misses_before_down
    """Missed heartbeats after which a service is DOWN."""
    misses_before_deregister: int = _DEFAULT.misses_before_deregister
    """Missed heartbeats after which a service is deregistered."""
    keep_down: float = _DEFAULT.keep_down
    """Minimum number of seconds for which a service that is down stays registered."""
    deregister: bool = _DEFAULT.deregister
    """Whether services that are down are deregistered."""
    reconnect_grace: float = _DEFAULT.reconnect_grace
    """Seconds for which a stream may stay broken before the service is down."""
    reattach_window: float = _DEFAULT.reattach_window
    """Seconds that services may take to reconnect after the registry restarted or stalled."""
    escalate_after: float = _DEFAULT.escalate_after
    """Seconds for which an alert waits for its acknowledgement before it escalates to the next ancestor."""
    busy_cap: float = _DEFAULT.busy_cap
    """Maximum number of seconds for which a service that declared itself busy may be silent or make no progress."""
    orphan_policy: Literal["keep", "stop", "adopt"] = "keep"
    """What the children of a service that is down should do: keep (continue), stop, or adopt (alerts about the children
    go to the next ancestor that is not down)."""
    confirm_by_probe: bool = _DEFAULT.confirm_by_probe
    """Whether a refused connection to the URL of a suspect confirms at once that the service is down; see
    `probe_targets`."""
    flap_count: int = _DEFAULT.flap_count
    """After this many suspicions within `flap_window`, further suspicions raise no alert until the service was stable
    for one window."""
    flap_window: float = _DEFAULT.flap_window
    """Length of the window of `flap_count`, in seconds."""
    guard_ratio: float = _DEFAULT.guard_ratio
    """A mass failure is a failure of more than this share of the live services at once; see also `guard_min`."""
    guard_min: int = _DEFAULT.guard_min
    """A mass failure is a failure of at least this many services at once; see also `guard_ratio`."""
    guard_burst: float = _DEFAULT.guard_burst
    """Services fail at once, for the mass-failure guard, if they fail within this many seconds."""
    guard_window: float = _DEFAULT.guard_window
    """The mass-failure guard holds alerts until this many seconds after the last failure."""

    def values(self) -> dict[str, Any]:
        """Return the thresholds that are set, by name, with the types that `Policy` expects."""
        given = self.model_dump(exclude_unset=True)
        if "orphan_policy" in given:
            given["orphan_policy"] = OrphanPolicy[given["orphan_policy"].upper()]
        return given


class Config(ProgramConfig):
    """TRON, the heartbeat monitor: evaluates which services are alive, and notifies their parents."""

    listen: Listen = "127.0.0.1:6123"
    """Listen address, HOST:PORT. Use port 0 for any free port; leave out HOST to listen on all interfaces."""
    registry: Dial = "127.0.0.1:6122"
    """The address of the registry."""
    token_file: OptionalFile = None
    """File with the token that TRON sends to the registry; only its owner may have access to it. Default: the token
    of TRON_TOKEN_FILE or TRON_TOKEN."""
    data_dir: Path = Path("tron-data")
    """Directory for thresholds that operators set, and for notices that wait for a sink. The registry stores TRON's
    verdicts."""
    sinks: SinksConfig = SinksConfig()
    """Where operators are notified, in addition to the log."""
    policy: PolicyConfig = PolicyConfig()
    """The thresholds for all services."""
    overrides: dict[str, PolicyConfig] = Field(default_factory=dict)
    """Thresholds for single services, by service_id; a threshold that is not set here has its value from `policy`."""
    probe_targets: tuple[str, ...] = ()
    """Each `host` or `host:port` to which TRON may connect if a policy sets `confirm_by_probe`. The list is needed
    because each service chooses its own URL."""
    registry_lost_after: float = Field(default=LOST_AFTER, gt=0, le=3600)
    """Seconds without an answer from the registry after which operators are notified."""
    registry_lost_after_drain: float = Field(default=LOST_AFTER_DRAIN, gt=0, le=3600)
    """Replaces `registry_lost_after` after the registry announced that it is draining, and after TRON's own start."""
    metrics_listen: OptionalListen = "127.0.0.1:6125"
    """Listen address of the metrics for Prometheus, which are served as http://HOST:PORT/metrics. Use port 0
    for any free port, and `off` to disable metrics. If the address is in use, TRON logs that and serves no metrics."""
    self_register: CliImplicitFlag[bool] = True
    """Register TRON itself, so that it is listed like any other service."""

    def thresholds(self) -> dict[str, dict[str, Any]]:
        """Return the thresholds that are set, by service_id; the empty id means all services."""
        return {"": self.policy.values()} | {service_id: each.values() for service_id, each in self.overrides.items()}
