"""Histories that a machine thinks of: the whole system on simulated time, watched by an oracle. See `runner`."""
