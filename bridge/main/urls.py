"""Addresses as people paste them."""


def url_of(host: str, port: int) -> str:
    """Return the root URL of a server at an address, IPv6 in brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
