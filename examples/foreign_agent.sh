#!/usr/bin/env bash
# An agent without an SDK, and without a copy of the .proto files: grpcurl learns them by reflection. Needs `make up`.
# usage: foreign_agent.sh [SERVICE_ID [BEATS [SECONDS_BETWEEN_BEATS]]]     TRON_REGISTRY: where the registry listens
set -euo pipefail

registry=${TRON_REGISTRY:-127.0.0.1:6122}
id=${1:-shell-agent}
beats=${2:-5}
interval=${3:-2}

conversation() {
  # The first message registers. Without an incarnation it starts a new one.
  echo "{\"register\": {\"service\": {\"service_id\": \"$id\", \"name\": \"$id\", \"heartbeat_interval\": \"${interval}s\"}}}"
  for ((n = 1; n <= beats; n++)); do
    sleep "$interval"
    echo "{\"beats\": {\"beats\": [{\"service_id\": \"$id\", \"sequence\": $n, \"status\": \"SERVICE_STATUS_RUNNING\"}], \"ack_requested\": true}}"
  done
  # Without this the end of the stream is taken for a break, and the parent is alarmed.
  echo "{\"goodbye\": {\"service_id\": \"$id\", \"reason\": \"done\"}}"
}

conversation | grpcurl -plaintext -d @ "$registry" grid.registry.v1.RegistryService/Heartbeat
