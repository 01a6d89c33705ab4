"""All targets, in the order in which `make fuzz` runs them."""

from __future__ import annotations

from tests.fuzz.file_targets import FILE_TARGET
from tests.fuzz.gateway_targets import HTTP_TARGET, SECURED_TARGET, SOCKET_TARGET
from tests.fuzz.jwt_targets import JWT_TARGET
from tests.fuzz.live_targets import LIVE_TARGET
from tests.fuzz.registry_targets import CALL_TARGET, STREAM_TARGET
from tests.fuzz.sdk_targets import AGENT_TARGET, MODEL_TARGET, OBSERVER_TARGET
from tests.fuzz.tron_targets import TRON_TARGET

TARGETS = (
    CALL_TARGET,
    STREAM_TARGET,
    TRON_TARGET,
    HTTP_TARGET,
    SECURED_TARGET,
    SOCKET_TARGET,
    FILE_TARGET,
    JWT_TARGET,
    AGENT_TARGET,
    OBSERVER_TARGET,
    MODEL_TARGET,
    LIVE_TARGET,
)
