"""The ways to run it: by hand, on this machine, on a Prefect server."""
