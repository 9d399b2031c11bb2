"""The network that a client belongs to, for limits per visitor."""

import ipaddress


def visitor_network(host: str) -> str:
    """Return what one visitor can use: an IPv4 address, the /64 of an IPv6 address, anything else as it is."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host[:64]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return str(address)
