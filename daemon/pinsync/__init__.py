"""pinsync mirrors a Kubo node's pins and a pin manifest onto remote IPFS pinning services."""

__version__ = "0.1.0"
