"""TLS: to Redis, whose side a terminating proxy plays, and between KEDA and the scaler."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from sluicegate import AsyncProducer, StoreUnavailable
from sluicegate.store import Store
from support.certificates import Certificate, make_certificate
from support.scaling import AGENTS, ask, start_scaler
from support.served_pool import PATH, POOL, apply_settings, make_settings, serve


@contextlib.asynccontextmanager
async def terminate_tls(plain_url: str, context: ssl.SSLContext) -> AsyncIterator[str]:
    """The URL of a server that speaks TLS, and passes on what it hears to the one that does not."""
    port = int(plain_url.rpartition(":")[2].partition("/")[0])
    pumps: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        pumps.update(asyncio.create_task(_pump(*ends)) for ends in ((reader, back), (there, writer)))

    async with await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context) as server:
        yield f"rediss://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    writer.close()


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return make_certificate(tmp_path)


async def test_a_producer_and_a_dispatcher_speak_tls(redis_url: str, certificate: Certificate) -> None:
    async with terminate_tls(redis_url, certificate.for_servers()) as url:
        trusting = f"{url}?ssl_ca_certs={certificate.certificate}"
        async with serve(make_settings(trusting)), AsyncProducer(trusting, pool=POOL, agent="ann") as producer:
            assert (await producer.request(PATH, {})).status == 200


async def test_a_stranger_is_not_trusted(redis_url: str, certificate: Certificate) -> None:
    async with terminate_tls(redis_url, certificate.for_servers()) as url:
        with pytest.raises(StoreUnavailable, match="certificate verify failed"):
            async with Store(url):
                pass


async def test_the_scaler_answers_only_clients_of_its_ca(
    redis_url: str, certificate: Certificate, tmp_path: Path
) -> None:
    await apply_settings(make_settings(redis_url, rpm=600))
    client, stranger = make_certificate(tmp_path, "client"), make_certificate(tmp_path, "stranger")
    own = ("--tls-cert", str(certificate.certificate), "--tls-key", str(certificate.key))
    with start_scaler(tmp_path, redis_url, *own, "--tls-client-ca", str(client.certificate)) as scaler:
        async with ask(scaler.address, _credentials(certificate, client)) as keda:
            await keda.comes_to("SERVING")
            assert await keda.wants(AGENTS) == 97
        for credentials in (_credentials(certificate, stranger), _credentials(certificate, None), None):
            async with ask(scaler.address, credentials) as keda:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await keda.get_metrics(AGENTS)
                assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


def _credentials(server: Certificate, client: Certificate | None) -> grpc.ChannelCredentials:
    trusted = server.certificate.read_bytes()
    if client is None:
        return grpc.ssl_channel_credentials(trusted)
    return grpc.ssl_channel_credentials(trusted, client.key.read_bytes(), client.certificate.read_bytes())
