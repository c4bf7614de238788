"""The steps of a pass, one file each; `pinsync.reconcile` puts them in their order."""
