"""The manifest for Kubernetes: what it starts are our programs, with settings that they know, and secured."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway_http.config import Config as GatewayConfig
from grid_hosting.program import ProgramConfig, read_config
from registry_server.config import Config as RegistryConfig
from tron.config import Config as TronConfig

MANIFEST = Path(__file__).parents[2] / "deploy" / "kubernetes" / "tron.yaml"
PROGRAMS: dict[str, type[ProgramConfig]] = {
    "registry": RegistryConfig,
    "monitor": TronConfig,
    "gateway": GatewayConfig,
}
OBJECTS: list[Any] = list(yaml.safe_load_all(MANIFEST.read_text()))
SETTINGS = next(each["data"] for each in OBJECTS if each["kind"] == "ConfigMap")
PODS = {
    each["metadata"]["name"]: each["spec"]["template"]["spec"]
    for each in OBJECTS
    if each["kind"] in ("StatefulSet", "Deployment")
}
SERVICES = {each["metadata"]["name"]: each["spec"] for each in OBJECTS if each["kind"] == "Service"}


@pytest.mark.parametrize("table", PROGRAMS)
def test_each_program_takes_the_settings_of_its_container(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [each for each in os.environ if each.startswith("TRON_")]:
        monkeypatch.delenv(name)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    for name, spec in SERVICES.items():  # what Kubernetes adds
        word = name.upper().replace("-", "_")
        monkeypatch.setenv(f"{word}_SERVICE_HOST", "10.0.0.1")
        for port in spec["ports"]:
            monkeypatch.setenv(f"{word}_SERVICE_PORT_{port['name'].upper()}", str(port["port"]))
            monkeypatch.setenv(f"{word}_PORT_{port['port']}_TCP_ADDR", "10.0.0.1")
    pod = PODS[f"tron-{table}"]
    (container,) = pod["containers"]
    assert container["command"][:2] == ["tron", table]
    config: Any = read_config(PROGRAMS[table], table, container["command"][2:])
    assert config.authentication
    assert (config.cert, config.key, config.ca) == (Path("/tls/tls.crt"), Path("/tls/tls.key"), Path("/tls/ca.crt"))
    mounted = {each["mountPath"] for each in container["volumeMounts"]}
    paths = [config.cert, config.data_dir, *([] if table == "registry" else [config.token_file])]
    assert {f"/{path.parts[1]}" for path in paths} == mounted
    assert config.data_dir.parts[2:], "a directory below the volume, which belongs to root"
    claimed = {"data"} if table != "gateway" else set()
    volumes = {each["name"] for each in pod["volumes"]} | claimed
    assert {each["name"] for each in container["volumeMounts"]} == volumes


def test_the_programs_find_each_other_and_run_as_no_root() -> None:
    assert set(SERVICES) == set(PODS)
    for name, pod in PODS.items():
        (container,) = pod["containers"]
        words = container["command"]
        listens = {int(word.rpartition(":")[2]) for word in words if "-listen=" in word or word.startswith("--listen")}
        assert {each["port"] for each in SERVICES[name]["ports"]} == listens
        for word in words:
            flag, _, value = word.partition("=")
            if flag in ("--registry", "--tron"):
                host, _, port = value.partition(":")
                assert int(port) in {each["port"] for each in SERVICES[host]["ports"]}
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
