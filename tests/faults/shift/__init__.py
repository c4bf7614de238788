"""On `PYTHONPATH` of the processes under test; see `sitecustomize`."""
