"""A pinning service to try things on: for the demo, tests and benchmarks. It is not for production.

It keeps requests for pins and answers as a chosen service does (`profiles.PROFILES`); it holds no content at all.

    behaviour   the knobs, one frozen dataclass          profiles    real services as settings of those knobs
    engine      `Emulator`: what each request does       store       the pins, in memory and, if wanted, in SQLite
    listing     the query of a list                      wire        what goes out: times, pins, errors
    faults      answers that go wrong on purpose         app         the ASGI application
    server      `EmulatorServer` (a thread), `serve` (the foreground)

Importing this package imports none of them: `pinsync --help` is quick.
"""
