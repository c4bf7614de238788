"""Real processes, a real Kubo and real faults: `make test-faults`, and the soak: `make soak`."""
