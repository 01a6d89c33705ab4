"""Settings of TRON: `tron.toml` table `[monitor]`, environment TRON_MONITOR_*, flags of `tron monitor`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import CliImplicitFlag

from grid_hosting.program import ProgramConfig
from tron.policy import Policies, Policy

_DEFAULT = Policy()


class PolicyConfig(BaseModel):
    """Thresholds. All times in seconds; see `tron/policy.py` for what each trades."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    tolerance_ratio: float = _DEFAULT.tolerance_ratio
    """A miss is counted at n x interval + tolerance; tolerance is this share of the interval."""
    tolerance_min: float = _DEFAULT.tolerance_min
    """The tolerance is at least this long."""
    misses_before_warning: int = _DEFAULT.misses_before_warning
    """Missed beats until a warning."""
    misses_before_down: int = _DEFAULT.misses_before_down
    """Missed beats until down."""
    misses_before_deregister: int = _DEFAULT.misses_before_deregister
    """Missed beats until the service is given up."""
    reconnect_grace: float = _DEFAULT.reconnect_grace
    """How long a broken stream may stay broken."""
    reattach_window: float = _DEFAULT.reattach_window
    """How long everyone may take to come back after the registry restarted or stalled."""
    escalate_after: float = _DEFAULT.escalate_after
    """How long an alert waits for its acknowledgement before it climbs. Not used in this version."""


class Config(ProgramConfig):
    """TRON, the heartbeat monitor: judges who is alive, and has parents told."""

    listen: str = "127.0.0.1:6123"
    """Address to serve on. Port 0 picks a free one."""
    registry: str = "127.0.0.1:6122"
    """Address of the registry."""
    data_dir: Path = Path("tron-data")
    """Folder for TRON's own state. Nothing is kept there in this version: its judgement is in the registry's store."""
    policy: PolicyConfig = PolicyConfig()
    """The thresholds for everyone."""
    overrides: dict[str, PolicyConfig] = Field(default_factory=dict)
    """Thresholds for single services, by service_id; what is not given is as in `policy`."""
    self_register: CliImplicitFlag[bool] = True
    """Register TRON itself, so that it is seen like everyone else."""

    def policies(self) -> Policies:
        """The thresholds for the detector. Raises ValueError where they contradict each other."""
        given = self.policy.model_dump()
        overrides = {
            service_id: Policy(**{**given, **each.model_dump(exclude_unset=True)})
            for service_id, each in self.overrides.items()
        }
        return Policies(Policy(**given), overrides)
