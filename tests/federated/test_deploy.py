"""Certificates, Flower's commands, and processes that end with what they started."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import ssl
import sys
import time
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

from edgeperso.errors import UsageError
from edgeperso_federated.deploy.certificates import make_certificates, make_node_key
from edgeperso_federated.deploy.commands import environment, superlink, supernode
from edgeperso_federated.deploy.processes import Kept, Process, wait_for_port
from edgeperso_federated.errors import FederationError

from .ports import free_ports

# ---- certificates --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "tls"
    make_certificates(folder, ["hub.example", "10.1.2.3"])
    return folder


def test_the_certificate_is_for_the_names_and_this_machine(certificates: Path) -> None:
    server = x509.load_pem_x509_certificate((certificates / "server.crt").read_bytes())
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "hub.example"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("10.1.2.3"),
    ]


def shaken(trusted: Path, served: Path) -> bytes:
    """What a client reads that trusts ``trusted`` from a server with ``served``'s certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(served / "server.crt", served / "server.key")
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs:
            try:
                with context.wrap_socket(theirs, server_side=True) as stream:
                    stream.sendall(b"hello")
            except (ssl.SSLError, OSError):
                pass

    thread = Thread(target=serve)
    thread.start()
    try:
        client = ssl.create_default_context(cafile=trusted / "ca.crt")
        with client.wrap_socket(ours, server_hostname="127.0.0.1") as stream:
            return stream.recv(5)
    finally:
        ours.close()
        thread.join()


def test_who_trusts_the_authority_trusts_the_server_and_no_other(certificates: Path, tmp_path: Path) -> None:
    make_certificates(tmp_path / "other", [])
    assert shaken(certificates, certificates) == b"hello"
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(certificates, tmp_path / "other")


def test_keys_are_their_owners_alone_and_not_overwritten(certificates: Path, tmp_path: Path) -> None:
    public = make_node_key(tmp_path / "keys" / "node")
    assert [path.stat().st_mode & 0o777 for path in (certificates / "server.key", tmp_path / "keys" / "node")] == [
        0o600,
        0o600,
    ]
    kept = (certificates / "server.key").read_bytes(), public.read_bytes()
    with pytest.raises(UsageError):
        make_certificates(certificates, [])
    with pytest.raises(UsageError):
        make_node_key(tmp_path / "keys" / "node")
    assert ((certificates / "server.key").read_bytes(), public.read_bytes()) == kept


def test_a_nodes_key_is_p384_in_openssh_form_and_its_public_half_is_its_own(tmp_path: Path) -> None:
    public = load_ssh_public_key(make_node_key(tmp_path / "node").read_bytes())
    private = load_ssh_private_key((tmp_path / "node").read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert isinstance(private.curve, ec.SECP384R1)
    assert private.public_key() == public


# ---- commands ------------------------------------------------------------------------------------------------------


def test_the_environment_is_quiet_whatever_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "1")
    monkeypatch.setenv("EDGEPERSO_KEY_FILE", "/home/me/key")
    env = environment(tmp_path)
    assert "EDGEPERSO_KEY_FILE" not in env
    assert env["FLWR_TELEMETRY_ENABLED"] == env["RAY_USAGE_STATS_ENABLED"] == "0"
    assert env["FLWR_DISABLE_UPDATE_CHECK"] == env["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] == "1"
    assert env["FLWR_HOME"] == str(tmp_path)


def test_a_server_with_certificates_lets_registered_nodes_in_alone(tmp_path: Path) -> None:
    command = superlink(host="127.0.0.1", port=1, certificates=tmp_path, database=tmp_path / "db")
    assert {"--enable-supernode-auth", "--disable-runtime-dependency-installation"} <= set(command)
    assert "--insecure" not in command


def test_no_secret_is_in_a_nodes_command(tmp_path: Path) -> None:
    make_node_key(tmp_path / "node")
    command = supernode(
        server="hub:1", port=2, certificates=tmp_path, authority=tmp_path / "ca.crt", key=tmp_path / "node",
        config={"broker": "/a b/c"},
    )  # fmt: skip
    assert command[command.index("--node-config") + 1] == 'broker="/a b/c"'
    assert all(line not in " ".join(command) for line in (tmp_path / "node").read_text().split())
    assert "--allow-runtime-dependency-installation" not in command


# ---- processes -----------------------------------------------------------------------------------------------------

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_a_process_started_in_another_session_ends_with_it(end: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = Process([sys.executable, "-c", PARENT], os.environ, log)
    give_up = time.monotonic() + 20
    while not log.read_text().strip() and time.monotonic() < give_up:
        time.sleep(0.05)
    child = int(log.read_text())
    assert alive(child)
    getattr(process, end)()
    assert process.code in (-signal.SIGTERM, -signal.SIGKILL)
    give_up = time.monotonic() + 5
    while alive(child) and time.monotonic() < give_up:
        time.sleep(0.05)
    assert not alive(child)


ORPHANS = PARENT.replace("time.sleep(600)\n", "time.sleep(1)\n")


def test_what_is_kept_is_started_again_and_leaves_no_orphans(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Kept([sys.executable, "-c", ORPHANS], os.environ, log, pause_s=0.1):
        give_up = time.monotonic() + 30
        while len(log.read_text().split() if log.exists() else []) < 3 and time.monotonic() < give_up:
            time.sleep(0.1)
    children = [int(line) for line in log.read_text().split()]
    assert len(children) >= 3
    give_up = time.monotonic() + 5
    while any(map(alive, children)) and time.monotonic() < give_up:
        time.sleep(0.05)
    assert not any(map(alive, children))


def test_a_server_that_ends_at_once_is_not_waited_for() -> None:
    (port,) = free_ports(1)
    with (
        Process([sys.executable, "-c", "raise SystemExit(3)"], os.environ) as process,
        pytest.raises(FederationError),
    ):
        wait_for_port(process, "127.0.0.1", port)
    assert process.code == 3
