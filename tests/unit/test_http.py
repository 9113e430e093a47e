"""What agents read of a call that broke: how it broke, and never where it went."""

import errno
import socket
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from sluicegate_worker.upstream.call import Call, CallFailed
from sluicegate_worker.upstream.http import HttpUpstream, _describe
from support.upstream import Behaviour, Upstream, cut, reset_in_body, talk_garbage

HOST, PORT = "secret.example", 8443
KEY = ConnectionKey(HOST, PORT, True, True, None, None, None)
WHERE = f"{HOST}:{PORT}"
REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed ('{HOST}', {PORT})")
MISMATCH = ssl.SSLCertVerificationError(1, f"certificate verify failed: certificate is not valid for '{HOST}'")


async def failure(base_url: str) -> CallFailed:
    upstream = HttpUpstream(base_url, "generic", None, max_in_flight=5, max_reply_bytes=1000)
    try:
        with pytest.raises(CallFailed) as caught:
            await upstream.call(Call("POST", "/embeddings", {}, b"{}", timeout_s=60))
    finally:
        await upstream.close()
    return caught.value


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_refused_connection_does_not_say_where(host: str) -> None:
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        failed = await failure(f"http://{host}:{port}/v1")
    assert (failed.kind, failed.error) == ("connection", "cannot connect: Connection refused")


@pytest.mark.parametrize("behaviour", [cut, reset_in_body, talk_garbage])
async def test_a_broken_answer_does_not_say_where(behaviour: Behaviour) -> None:
    async with Upstream() as upstream:
        upstream.behaviour = behaviour
        failed = await failure(upstream.base_url)
        assert failed.kind == "connection"
        assert str(upstream.port) not in failed.error
        assert "127.0.0.1" not in failed.error


@pytest.mark.parametrize(
    ("error", "begins"),
    [
        (aiohttp.ClientConnectorError(KEY, REFUSED), "cannot connect: "),
        (aiohttp.ClientConnectorError(KEY, OSError(f"Multiple exceptions: {REFUSED}, {REFUSED}")), "cannot connect: "),
        (aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, "Name or service not known")), "cannot connect: "),
        (aiohttp.ClientConnectorCertificateError(KEY, MISMATCH), "cannot connect: "),
        (aiohttp.ServerDisconnectedError(), "the connection was closed before an answer"),
        (aiohttp.ClientOSError(errno.EPIPE, f"Can not write request body for https://{WHERE}/v1"), "the connection "),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "the connection broke: "),
        (aiohttp.InvalidURL(f"https://{WHERE}/v1"), "the answer broke off: InvalidURL"),
        (aiohttp.ClientPayloadError(f"of https://{WHERE}/v1"), "the answer broke off: ClientPayloadError"),
    ],
)
def test_what_broke_is_said_and_not_where(error: Exception, begins: str) -> None:
    said = _describe(error)
    assert said.startswith(begins)
    assert HOST not in said
    assert str(PORT) not in said
