"""`python -m hopwell` is the `hopwell` command."""

from hopwell.cli import main

main()
