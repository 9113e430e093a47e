"""Certificates for this machine's own address, made for a test."""

import shutil
import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest


class Certificate(NamedTuple):
    """Signed by itself, and so its own CA."""

    certificate: Path
    key: Path

    def for_servers(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def make_certificate(directory: Path, name: str = "server") -> Certificate:
    """Skips where there is no openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    made = Certificate(directory / f"{name}.crt", directory / f"{name}.key")
    command = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}")
    names = ("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    subprocess.run([*command, *names, "-keyout", made.key, "-out", made.certificate], check=True, capture_output=True)
    return made
