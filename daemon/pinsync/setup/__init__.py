"""Setting pinsync up as a service of systemd: what there is, what is to be done, doing it.

`layout` knows where things lie, `steps` what can be done, `planning` decides (pure), `machine` looks and does.
"""
