"""A stand-in for authentik's proxy outpost; its contract is in tests/lab/README.md."""
