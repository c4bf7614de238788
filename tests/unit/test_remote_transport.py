"""Whom a client trusts, and that it reads certificates only where it will look at some."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from pinsync.remote.errors import RemoteError
from pinsync.remote.transport import opened, trust

from .cli_process import environment


def test_an_https_endpoint_is_verified_by_the_usual_authorities() -> None:
    context = trust("attic", "https://api.example", None)
    assert isinstance(context, ssl.SSLContext)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_plain_http_has_no_certificate_to_verify() -> None:
    assert trust("attic", "http://127.0.0.1:9097", None) is False


def test_an_authority_of_ones_own_comes_on_top(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    with pytest.raises(RemoteError, match=r"ca\.pem cannot be used: No such file"):
        trust("attic", "https://api.example", missing)
    missing.write_bytes(ssl.DER_cert_to_PEM_cert(httpx.create_ssl_context().get_ca_certs(binary_form=True)[0]).encode())
    context = trust("attic", "https://api.example", missing)
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_authorities_that_the_environment_names_and_has_not_are_told(
    variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "nowhere"))
    if variable == "SSL_CERT_DIR":
        trust("attic", "https://api.example", None)  # OpenSSL takes a directory that is not there for an empty one
        return
    with pytest.raises(RemoteError, match=r"SSL_CERT_FILE or .SSL_CERT_DIR names cannot be used: No such file"):
        trust("attic", "https://api.example", None)


@pytest.mark.parametrize(
    "proxy", ["socks5://user:pa55w0rd@127.0.0.1:1", "foo://user:pa55w0rd@x", "http://user:pa55w0rd@[::1"]
)
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(RemoteError, match=r"attic: the proxy that the environment names .* cannot be used") as raised:
        opened("attic", httpx.AsyncClient)
    assert "pa55w0rd" not in str(raised.value)


def test_no_request_searches_the_disk_for_modules(tmp_path: Path) -> None:
    """httpcore asks for sniffio several times a request; where it is missing, each search would cost 0.1 ms."""
    program = (
        "import sys, pinsync.remote.transport\n"
        "from httpcore._synchronization import current_async_library as library\n"
        "searched = [library()]\n"
        "class Note:\n"
        "    find_spec = staticmethod(lambda name, *_: searched.append(name))\n"
        "sys.meta_path.insert(0, Note)\n"
        "library(); print(searched)\n"
    )
    # In a process of its own: what is imported here already would hide it.
    found = subprocess.run(
        [sys.executable, "-c", program], env=environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert (found.stdout.strip(), found.stderr) == ("['asyncio']", "")
