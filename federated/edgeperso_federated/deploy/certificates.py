"""TLS for the SuperLink, and a key for each SuperNode.

One authority of the federation's own signs the server's certificate; SuperNodes trust it and no other. A SuperNode
proves itself with an ECDSA key on P-384, in OpenSSH's form, as Flower wants it; the server knows the public half.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgeperso.errors import UsageError

__all__ = ["make_certificates", "make_node_key"]

_DAYS: Final = 825
"""That long both are valid; longer ones some systems don't accept."""
_BEFORE: Final = datetime.timedelta(hours=1)
"""For clocks that are slow."""


def make_certificates(folder: Path, names: Sequence[str]) -> None:
    """``ca.crt`` (for everybody), ``server.crt`` and ``server.key``. The authority's own key isn't kept: to add a name,
    make them all again.

    Args:
        folder: is made; files that are there are not overwritten.
        names: host names and addresses under which the server is reached; ``localhost`` and ``127.0.0.1`` are added.

    Raises:
        UsageError: there are certificates already.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ca_key, key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edgeperso federation")])
    ca = (
        _unsigned(issuer, issuer, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_others=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA384())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "SuperLink")])
    server = (
        _unsigned(subject, issuer, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_others=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_alternatives(names)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA384())
    )
    _write(folder / "ca.crt", ca.public_bytes(Encoding.PEM), 0o644)
    _write(folder / "server.crt", server.public_bytes(Encoding.PEM), 0o644)
    _write(folder / "server.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)


def make_node_key(path: Path) -> Path:
    """A SuperNode's key at ``path``, and its public half beside it.

    Returns:
        The path of the public half, which goes to whoever runs the server.

    Raises:
        UsageError: there is one already.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), 0o600)
    public = path.with_name(path.name + ".pub")
    _write(public, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n", 0o644)
    return public


def _unsigned(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
    )


def _usage(*, sign_others: bool) -> x509.KeyUsage:
    off = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    return x509.KeyUsage(digital_signature=not sign_others, key_cert_sign=sign_others, crl_sign=sign_others, **off)


def _alternatives(names: Sequence[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in dict.fromkeys(("localhost", "127.0.0.1", *names)):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _write(path: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise UsageError(f"{path.name} is there already.", hint="Take another folder, or remove it.") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
