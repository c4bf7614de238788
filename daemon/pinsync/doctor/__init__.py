"""`pinsync doctor`: each thing tried for real, each with what was found and what to do next.

finding    one line of the answer; a check that breaks is a line too
patient    what is examined, and with what
settings   configuration, manifest, who is told
node       a Kubo node
remote     a pinning service
state      the ledger and its directory, and what it says of the mirror
machine    versions, the clock, the daemon, the unit
examine    all of these, in order
"""
