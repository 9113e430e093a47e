"""`sluicegate scaler`: how many replicas, for KEDA over gRPC and for anybody as JSON."""

import asyncio
from pathlib import Path

import click

from sluicegate_worker.cli.dispatch import EVERYWHERE
from sluicegate_worker.cli.options import config_option, redis_url_option
from sluicegate_worker.cli.output import EXIT_USAGE, fail
from sluicegate_worker.settings_file import resolve_redis_url_here

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("scaler")
@config_option
@redis_url_option
@click.option("--host", default=EVERYWHERE, show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=6000, show_default=True, help="For gRPC; 0: a free one."
)
@click.option(
    "--http-port",
    type=click.IntRange(0, 65_535),
    help="Answer /scale, /livez, /readyz and /metrics here.  [default: nowhere]",
)
@click.option("--port-file", type=_FILE, help="Write the ports here once it listens, a line each.")
@click.option("--tls-cert", type=_FILE, help="The certificate (PEM) that gRPC shows.")
@click.option("--tls-key", type=_FILE, help="Its key.")
@click.option("--tls-client-ca", type=_FILE, help="Only clients with a certificate of this CA may ask.")
def command(
    *,
    config_path: str | None,
    redis_url: str | None,
    host: str,
    port: int,
    http_port: int | None,
    port_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
) -> None:
    """Answer how many replicas pools want, until SIGTERM or Ctrl-C.

    It speaks KEDA's contract of external and external-push scalers, and asks Redis for nothing that a viewer may not
    read. The parameters of a trigger, and of GET /scale, are in k8s/README.md.
    """
    url = resolve_redis_url_here(redis_url, config_path)
    if (tls_cert is None) != (tls_key is None) or (tls_client_ca is not None and tls_cert is None):
        raise click.UsageError("--tls-cert and --tls-key go together, and --tls-client-ca goes with them")
    try:
        from sluicegate_worker.scaler.process import Listening, serve_until_signal
    except ImportError as error:
        fail(f"needs {error.name}: pip install 'sluicegate[keda]'", EXIT_USAGE)
    from sluicegate_worker.observe.listening import CannotListen
    from sluicegate_worker.port_file import PortFileBroken

    tls = (_read(tls_cert), _read(tls_key), _read(tls_client_ca)) if tls_cert else None
    try:
        asyncio.run(serve_until_signal(url, Listening(host, port, http_port, tls, port_file), _announce))
    except (CannotListen, PortFileBroken) as error:
        fail(str(error), EXIT_USAGE)


def _read(file: Path | None) -> bytes:
    try:
        return b"" if file is None else file.read_bytes()
    except OSError as error:
        fail(f"cannot read {file}: {error.strerror}", EXIT_USAGE)


def _announce(port: int, http_port: int | None) -> None:
    http = "" if http_port is None else f", HTTP at port {http_port}"
    click.echo(f"gRPC at port {port}{http}", err=True)
