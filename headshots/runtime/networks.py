"""The network of a client, for limits per visitor."""

import ipaddress


def visitor_network(host: str) -> str:
    """Return the network that one visitor controls: the address for IPv4, the /64 for IPv6.

    Returns the first 64 characters of anything that is no IP address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host[:64]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return str(address)
