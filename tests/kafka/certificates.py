"""An authority of the tests' own and what it has signed, made with openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple


class Certificates(NamedTuple):
    """PEM files: two authorities, and the broker's and a client's certificates with their keys, signed by the first."""

    ca: Path
    other_ca: Path
    broker: Path
    """Key and certificate in one file, as Kafka takes them."""
    client: Path
    client_key: Path
    """Encrypted with KEY_PASSWORD."""


KEY_PASSWORD = "the key to the key"


def make_certificates(directory: Path) -> Certificates:
    """Make everything anew in a directory."""
    for name in ("ca", "other_ca"):
        _openssl(
            directory, f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"
        )
    (directory / "names").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("broker", "client"):
        _openssl(directory, f"req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr")
        signing = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names"
        _openssl(directory, f"x509 -req -in {name}.csr {signing} -out {name}.crt")
    broker = directory / "broker.pem"
    broker.write_text((directory / "broker.key").read_text() + (directory / "broker.crt").read_text())
    (directory / "password").write_text(KEY_PASSWORD)
    _openssl(directory, "pkcs8 -topk8 -in client.key -passout file:password -out client.enc.key")
    return Certificates(
        directory / "ca.pem",
        directory / "other_ca.pem",
        broker,
        directory / "client.crt",
        directory / "client.enc.key",
    )


def _openssl(directory: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=directory, check=True, capture_output=True)
