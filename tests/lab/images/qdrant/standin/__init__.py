"""A stand-in for Qdrant's server; see tests/lab/README.md."""
