"""`bootstrapd serve`: the daemon, in the foreground, with what the flags say over what the file says."""

from __future__ import annotations

import click

from bootstrapd.cli.site import Site, with_site


@click.command()
@click.option(
    "-i", "--interface", "interfaces", multiple=True, metavar="IF", help="Serve this link; repeatable."
)
@click.option(
    "--http-port",
    "http_ports",
    multiple=True,
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="HTTP boot port; several = the first that is free. Default 80, then 8080.",
)
@click.option(
    "--dhcp-port", type=click.IntRange(1, 65535), metavar="PORT", help="For tests; firmware knows 67 only."
)
@click.option(
    "--pxe-port", type=click.IntRange(1, 65535), metavar="PORT", help="For tests; firmware knows 4011 only."
)
@click.option(
    "--tftp-port", type=click.IntRange(1, 65535), metavar="PORT", help="For tests; firmware knows 69 only."
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Default info.")
@with_site
def serve(
    site: Site,
    interfaces: tuple[str, ...],
    http_ports: tuple[int, ...],
    dhcp_port: int | None,
    pxe_port: int | None,
    tftp_port: int | None,
    log_level: str | None,
) -> None:
    """Answer the machines of this network until stopped.

    Runs beside the network's own DHCP server, which keeps giving the addresses. Needs root, or
    CAP_NET_BIND_SERVICE and CAP_NET_RAW.

    \b
    bootstrapd serve --interface enp3s0
    """
    from bootstrapd import daemon
    from bootstrapd.config.flags import overridden

    flags = {
        "interfaces": interfaces,
        "http.ports": http_ports,
        "dhcp.port": dhcp_port,
        "dhcp.pxe_port": pxe_port,
        "tftp.port": tftp_port,
        "log.level": log_level,
    }
    daemon.run(overridden(site.config, flags))
