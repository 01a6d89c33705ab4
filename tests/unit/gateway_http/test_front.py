"""What is true of every request on every port, with a small application behind it."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from gateway_http.http.coding import MOST_MEMBERS, Decoder, TooLarge, Unreadable
from gateway_http.http.front import Front
from gateway_http.http.problems import install_errors

LIMIT = 100_000


def gzipped(data: bytes) -> bytes:
    """Compressed, without the time of day: the name of a test must not change."""
    return gzip.compress(data, mtime=0)


def application() -> FastAPI:
    """A page, a stream without end, and a place that says what it was sent."""
    app = FastAPI(max_body_size=LIMIT)
    install_errors(app)

    @app.get("/things")
    async def things() -> dict[str, str]:
        return {"a": "thing"}

    @app.get("/things/{name}")
    async def thing(name: str) -> dict[str, str]:
        return {"name": name}

    @app.get("/stream")
    async def stream() -> Response:
        async def endless() -> Any:
            while True:
                yield b"data\n\n"
                await asyncio.sleep(0)

        return StreamingResponse(endless(), media_type="text/event-stream")

    @app.post("/things")
    async def take(document: dict[str, Any]) -> dict[str, Any]:
        return document

    @app.get("/address")
    async def address(request: Request) -> Response:
        return JSONResponse(request.url.path)

    return app


def client(root_path: str = "") -> httpx.AsyncClient:
    """A client of the application behind its front."""
    front = Front(application(), LIMIT, root_path)
    return httpx.AsyncClient(transport=httpx.ASGITransport(front), base_url="http://tron.test")


# --- HEAD -------------------------------------------------------------------------------------------------------------


async def test_head_is_get_without_the_body() -> None:
    async with client() as http:
        got, headed = await http.get("/things"), await http.head("/things")
        assert (headed.status_code, headed.content) == (200, b"")
        assert headed.headers == got.headers
        assert (await http.head("/nothing")).status_code == 404
        assert (await http.head("/things/")).headers["location"] == "../things"


async def test_head_of_a_stream_without_end_ends() -> None:
    async with client() as http, asyncio.timeout(5):
        answer = await http.head("/stream")
    assert answer.headers["content-type"].startswith("text/event-stream")


# --- redirects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "location", "leads_to"),
    [
        ("/things/", "../things", "/things"),
        ("/things/a/", "../a", "/things/a"),
        ("/things/a:b/?x=1&y=%20", "../a:b?x=1&y=%20", "/things/a:b?x=1&y=%20"),
        ("/things/%C3%BC%3F/", "../%C3%BC%3F", "/things/%C3%BC%3F"),
    ],
)
@pytest.mark.parametrize("outside", ["http://tron.test", "https://elsewhere.test/below/a/prefix"])
async def test_a_slash_too_many_leads_to_the_same_place_behind_any_proxy(
    asked: str, location: str, leads_to: str, outside: str
) -> None:
    async with client() as http:
        answer = await http.get(asked)
    assert (answer.status_code, answer.headers["location"]) == (307, location)
    assert str(httpx.URL(outside + asked).join(location)) == outside + leads_to


async def test_more_slashes_than_one_lead_below_the_prefix_that_is_set() -> None:
    async with client("/my/tron") as http:
        assert (await http.get("/my/tron/things//")).headers["location"] == "/my/tron/things"


async def test_a_redirect_never_leads_to_another_host() -> None:
    async with client() as http:
        answer = await http.get("http://tron.test//evil.test/")
        assert not answer.headers.get("location", "").startswith(("//", "http"))


# --- a path prefix ----------------------------------------------------------------------------------------------------


async def test_a_prefix_that_the_proxy_leaves_in_place_is_taken_off() -> None:
    async with client("/my/tron") as http:
        for path in ("/my/tron/address", "/address"):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()) == (200, "/address")
        assert (await http.get("/my/tronic/address")).status_code == 404
        bare = await http.get("/my/tron")
        assert (bare.status_code, bare.headers["location"]) == (307, "tron/")


# --- bodies -----------------------------------------------------------------------------------------------------------

BODY = b'{"name": "\xc3\xbc"}'


def _raw_deflate(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflate.compress(data) + deflate.flush()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzipped(BODY)),
        ("GZIP", gzipped(BODY)),
        ("x-gzip", gzipped(BODY)),
        ("identity, gzip", gzipped(BODY)),
        ("gzip", gzipped(BODY[:5]) + gzipped(BODY[5:])),
        ("deflate", zlib.compress(BODY)),
        ("deflate", _raw_deflate(BODY)),
        ("identity", BODY),
        ("", BODY),
    ],
)
async def test_a_compressed_body_is_read(coding: str, body: bytes) -> None:
    async with client() as http:
        headers = {"content-type": "application/json", "content-encoding": coding}
        answer = await http.post("/things", content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"name": "ü"}), answer.text


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "compress", "nonsense"])
async def test_a_coding_that_is_not_known_is_named(coding: str) -> None:
    async with client() as http:
        headers = {"content-type": "application/json", "content-encoding": coding}
        answer = await http.post("/things", content=BODY, headers=headers)
    assert answer.status_code == 415
    assert answer.json() == {"detail": f"content-encoding {coding!r} is not supported; use one of gzip, deflate"}
    assert answer.headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize(
    ("coding", "body", "status", "says"),
    [
        ("gzip", BODY, 400, "the content-encoding is gzip, but the body is not valid gzip data"),
        ("gzip", gzipped(BODY)[:-9], 400, "the gzip data in the body is incomplete"),
        (
            "deflate",
            b"\x78\x9cnonsense",
            400,
            "the content-encoding is deflate, but the body is not valid deflate data",
        ),
        ("gzip", gzipped(b" " * 50_000_000), 413, "Content Too Large"),
        ("gzip", gzipped(b"[" * LIMIT), 400, "the body is nested too deeply to be read"),
    ],
)
async def test_a_compressed_body_that_can_not_be_read_is_refused_precisely(
    coding: str, body: bytes, status: int, says: str
) -> None:
    async with client() as http:
        headers = {"content-type": "application/json", "content-encoding": coding}
        answer = await http.post("/things", content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (status, {"detail": says})


def test_a_bomb_is_never_unpacked() -> None:
    bomb = gzipped(gzipped(b"\0" * 20_000_000))
    assert len(Decoder("gzip", 1 << 20).feed(bomb)) < 100_000
    with pytest.raises(TooLarge):
        Decoder("gzip", 1000).feed(gzipped(b"\0" * 20_000_000))
    with pytest.raises(TooLarge):  # many small files are one large one
        Decoder("gzip", 1000).feed(gzipped(b"x") * 1001)


def test_a_body_of_many_gzip_files_is_refused_before_each_one_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    original = zlib.decompressobj

    def begin(window: int) -> Any:
        begun.append(window)
        return original(window)

    monkeypatch.setattr("gateway_http.http.coding.zlib.decompressobj", begin)
    with pytest.raises(Unreadable, match=f"more than {MOST_MEMBERS} gzip files"):
        Decoder("gzip", 1 << 20).feed(gzipped(b"") * 10_000)
    assert len(begun) <= MOST_MEMBERS
    few = Decoder("gzip", 1 << 20)
    assert few.feed(gzipped(b"x") * MOST_MEMBERS) == b"x" * MOST_MEMBERS
    few.end()


def test_pieces_of_any_size_say_the_same() -> None:
    packed = gzipped(BODY * 50)
    for size in (1, 2, 7, 1000):
        decoder = Decoder("gzip", LIMIT)
        said = b"".join(decoder.feed(packed[at : at + size]) for at in range(0, len(packed), size))
        decoder.end()
        assert said == BODY * 50
    cut = Decoder("gzip", LIMIT)
    cut.feed(packed[:20])
    with pytest.raises(Unreadable):
        cut.end()


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"', "utf8", "us-ascii", "utf-16"])
async def test_json_in_unicode_is_read(charset: str) -> None:
    body = '{"name": "x"}'.encode("utf-16" if charset == "utf-16" else "utf-8")
    async with client() as http:
        answer = await http.post(
            "/things", content=body, headers={"content-type": f"application/json; charset={charset}"}
        )
    assert (answer.status_code, answer.json()) == (200, {"name": "x"})


@pytest.mark.parametrize("charset", ["latin-1", "ISO-8859-1", "iso-8859-15", "windows-1252"])
async def test_json_in_a_western_charset_is_read(charset: str) -> None:
    headers = {"content-type": f"application/json; charset={charset}"}
    async with client() as http:
        answer = await http.post("/things", content=b'{"name": "\xfc"}', headers=headers)
        packed = await http.post(
            "/things", content=gzipped(b'{"name": "\xfc"}'), headers={**headers, "content-encoding": "gzip"}
        )
    assert (answer.status_code, answer.json()) == (packed.status_code, packed.json()) == (200, {"name": "ü"})


@pytest.mark.parametrize("charset", ["koi8-r", "utf-7", "unheard-of", "rot13", "x" * 500])
async def test_another_charset_is_named(charset: str) -> None:
    async with client() as http:
        answer = await http.post(
            "/things", content=b'{"name": "\xfc"}', headers={"content-type": f"application/json;charset={charset}"}
        )
    assert answer.status_code == 415
    assert answer.json() == {"detail": f"charset {charset!r} is not supported; send JSON in UTF-8"}


async def test_what_is_not_utf8_is_said_to_be_so() -> None:
    async with client() as http:
        answer = await http.post("/things", content=b'{"name": "\xfc"}', headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json() == {"detail": "the body is not valid UTF-8: byte 0xfc at position 10"}
