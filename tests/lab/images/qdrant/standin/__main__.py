"""What ./qdrant runs."""

from .server import main

main()
