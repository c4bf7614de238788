"""What pinsync costs, measured against a rival in the same run: ratios, so that the machine hardly matters.

    python -m benchmarks [NAME…] [--quick]

    listing        `pinsync ls` against `ipfs pin remote ls`
    first_mirror   `pinsync sync` onto an empty service against a loop of `ipfs pin remote add --background`
    no_change      `pinsync sync` with nothing to do against `curl` reading the same list from the same node; memory
    rate           how much of an allowed rate a long first mirror uses

Each is a module with a function of its name. `harness` has what they share, `service` is the emulator in a process of
its own, `table` what is printed.
"""
