"""A stand-in for authentik's server and worker; its contract is in tests/lab/README.md."""
