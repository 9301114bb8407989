"""`python -m glnet_geo`."""

from glnet_geo.cli.main import main

main()
