"""Who may read the page, and what browsers are told of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from make_latents import SCANS, make_contents, make_origin, write_contents
from pages import HOST, ORIGIN, TOKEN, Pages, serve_pages
from starlette.websockets import WebSocketDisconnect

from microrun.runtime.errors import MicrorunError
from microrun.runtime.view.serve import ViewRequest, _visitors, bind


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scan = SCANS["square"]
    return write_contents(tmp_path_factory.mktemp("view") / "a.latents.h5", make_origin(scan), make_contents(scan))


@pytest.fixture(scope="module")
def pages(latents: Path) -> Iterator[Pages]:
    with serve_pages(latents) as found:
        yield found


@pytest.fixture(scope="module")
def guarded(latents: Path) -> Iterator[Pages]:
    with serve_pages(latents, TOKEN) as found:
        yield found


def test_the_page_asks_nothing_of_others_and_runs_nothing_that_is_not_its_own(pages: Pages) -> None:
    answer = pages.client.get("/")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    texts = [answer.text, *(pages.client.get(f"/{name}").text for name in ("main.js", "map.js", "view.css"))]
    assert all("http" not in text and "//" + "cdn" not in text for text in texts)
    assert "style=" not in answer.text
    assert "onclick=" not in answer.text


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8180", "127.0.0.1", "127.0.0.1:81", "127.0.0.1:8180.evil"]
)
def test_another_name_in_the_address_line_is_turned_away(pages: Pages, host: str) -> None:
    assert pages.client.get("/", headers={"host": host}).status_code == 403
    with pytest.raises(WebSocketDisconnect), pages.client.websocket_connect(
        "/data", headers={"host": host, "origin": f"http://{host}"}
    ):  # fmt: skip
        pass


@pytest.mark.parametrize("origin", ["http://evil.example", f"https://{HOST}", f"http://{HOST}.evil", "null", None])
def test_a_page_of_another_site_gets_no_data(pages: Pages, origin: str | None) -> None:
    headers = {"host": HOST} | ({} if origin is None else {"origin": origin})
    with pytest.raises(WebSocketDisconnect), pages.client.websocket_connect("/data", headers=headers):
        pass
    if origin is not None:
        assert pages.client.get("/", headers=headers).status_code == 403


@pytest.mark.parametrize("query", ["", "?token=", "?token=0123456789abcdeF", f"?tokens={TOKEN}"])
def test_a_wrong_token_opens_nothing(guarded: Pages, query: str) -> None:
    for path in ("/", "/%0A", "/data", "/data%0A", "/index.html", "/main.js%0A"):
        assert guarded.client.get(path + query).status_code == 403
    for path in ("/data", "/data%0A", "/main.js"):
        with pytest.raises(WebSocketDisconnect), guarded.client.websocket_connect(path + query, headers=ORIGIN):
            pass
    assert guarded.client.get(f"/main.js{query}").status_code == 200  # which tells nothing of the scan


def test_the_right_token_opens_it(guarded: Pages) -> None:
    assert guarded.client.get(f"/?token={TOKEN}").status_code == 200
    with guarded.open(f"/data?token={TOKEN}") as page:
        assert page.listen("hello")["name"] == "a.latents.h5"


@pytest.mark.parametrize("path", ["/nothing", "/../pyproject.toml", "/%2e%2e/session.py", "/site.py", "/page/main.js"])
def test_there_is_nothing_but_the_page(pages: Pages, path: str) -> None:
    assert pages.client.get(path).status_code == 404


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_nothing_can_be_changed(pages: Pages, method: str) -> None:
    assert getattr(pages.client, method)("/").status_code == 405


def test_other_machines_may_ask_with_a_token_only() -> None:
    for host in ("192.168.1.5", "microscope.lab", "0.0.0.0"):
        with pytest.raises(MicrorunError, match="give a token, such as --token"):
            ViewRequest(Path("a.h5"), host=host)
    with pytest.raises(MicrorunError, match="one name or address"):
        ViewRequest(Path("a.h5"), host="0.0.0.0", token=TOKEN)
    with pytest.raises(MicrorunError, match="16 letters or digits"):
        ViewRequest(Path("a.h5"), token="short")
    with pytest.raises(MicrorunError, match="one name or address"):
        ViewRequest(Path("a.h5"), host="[::]", token=TOKEN)
    assert ViewRequest(Path("a.h5"), host="192.168.1.5", token=TOKEN).host == "192.168.1.5"


def test_addresses_of_ipv6_stand_in_brackets_and_port_80_is_left_out() -> None:
    for host in ("fe80::1", "[fe80::1]"):
        request = ViewRequest(Path("a.h5"), host=host, token=TOKEN)
        assert request.name == "[fe80::1]"
        assert _visitors(request, 8181).hosts == {"[fe80::1]:8181"}
        assert _visitors(request, 80).may_ask("[fe80::1]", "http://[fe80::1]")
    assert ViewRequest(Path("a.h5"), host="::1").is_local


@pytest.mark.parametrize("host", ["a" * 64 + ".lab", "a..b"])
def test_a_name_that_cannot_be_one_is_refused_in_a_line(host: str) -> None:
    with pytest.raises(MicrorunError, match="no such name"):
        bind(ViewRequest(Path("a.h5"), host=host, port=0, token=TOKEN))


def test_a_port_that_is_taken_is_said_or_gone_round() -> None:
    with bind(ViewRequest(Path("a.h5"), port=0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MicrorunError, match=f"127.0.0.1:{port}: cannot be served .*another --port"):
            bind(ViewRequest(Path("a.h5"), port=port))
    with bind(ViewRequest(Path("a.h5"))) as first, bind(ViewRequest(Path("a.h5"))) as second:
        assert first.getsockname()[1] != second.getsockname()[1]
