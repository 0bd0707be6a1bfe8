"""``python -m bondwork``."""

from bondwork.cli import main

main()
