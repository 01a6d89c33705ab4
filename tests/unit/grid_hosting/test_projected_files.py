"""Tokens, certificates and keys of issuers that Kubernetes projects into a pod are used once they were renewed."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import grpc
import pytest
from tron_client import Endpoint
from tron_client.bearer import read_token, token_file
from tron_client.channel import open_aio_channel
from tron_client.tls import Pem, TlsFiles
from tron_client.tls_files import read_files, stamp_of

from grid_hosting.access.jwt_key_sources import FileKeys
from grid_hosting.access.jwt_keys import KeySet
from grid_hosting.security import SecuritySettings
from grid_hosting.tls import ServerTls
from tests.support.authority import Authority
from tests.support.issuer import ec_key, key_set, settings, token
from tests.support.projected import project

METHOD = "/test.Test/Call"


@pytest.mark.parametrize("renewed", [token("bob"), token("a")], ids=["another length", "the same length"])
async def test_a_client_sends_the_renewed_token_with_the_next_call(tmp_path: Path, renewed: str) -> None:
    async def answer(request: bytes, context: Any) -> bytes:
        return str(dict(context.invocation_metadata())["authorization"]).encode()

    project(tmp_path, {"token": token("b").encode()})
    server = grpc.aio.server()
    handlers: dict[str, Any] = {"Call": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    source = token_file("token_file", tmp_path / "token")
    async with open_aio_channel(Endpoint(f"127.0.0.1:{port}", token_file=tmp_path / "token")) as channel:
        call: Any = channel.unary_unary(METHOD)
        assert await call(b"") == f"Bearer {read_token(source)}".encode()
        for secret in (renewed, token("c"), token("d")):
            project(tmp_path, {"token": secret.encode()})
            assert await call(b"") == f"Bearer {secret}".encode()
    await server.stop(None)


def test_a_client_notices_a_renewed_certificate(tmp_path: Path) -> None:
    ca = Authority()

    def write() -> bytes:
        issued = ca.issue()
        project(tmp_path, {"tls.crt": issued.cert, "tls.key": issued.key, "ca.crt": ca.pem})
        return issued.cert

    def pem(name: str) -> Pem:
        return Pem(str(tmp_path / name), name)

    first = write()
    files = TlsFiles(pem("ca.crt"), pem("tls.crt"), pem("tls.key"))
    before, loaded = stamp_of(files), read_files(files)
    second = write()
    assert stamp_of(files) != before
    assert (loaded.cert, read_files(files).cert) == (first, second)


def test_a_server_uses_a_renewed_certificate(tmp_path: Path) -> None:
    ca = Authority()

    def write() -> None:
        issued = ca.issue()
        project(tmp_path, {"tls.crt": issued.cert, "tls.key": issued.key, "ca.crt": ca.pem})

    write()
    bundle = tmp_path / "ca.crt"
    tls = ServerTls(SecuritySettings(cert=tmp_path / "tls.crt", key=tmp_path / "tls.key", ca=bundle, client_ca=bundle))
    first = tls.certificate.material.cert
    write()
    tls.look()
    assert tls.certificate.material.cert == first, "the files may still be changing"
    tls.look()
    assert tls.certificate.material.cert == (tmp_path / "tls.crt").read_bytes() != first
    assert isinstance(tls.ssl_context(), ssl.SSLContext)


def test_the_registry_uses_the_renewed_keys_of_an_issuer(tmp_path: Path) -> None:
    project(tmp_path, {"keys.json": key_set(ec_key(0))})
    found = list[KeySet | None]()
    path = tmp_path / "keys.json"
    source = FileKeys(settings(keys_file=path), path, lambda _, keys: found.append(keys))
    source.load()
    project(tmp_path, {"keys.json": key_set(ec_key(1))})
    for _ in range(3):
        source.look()
    assert [list(each.keys) for each in found if each] == [["ec-0"], ["ec-1"]]
