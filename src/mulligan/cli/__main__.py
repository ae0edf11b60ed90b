"""python -m mulligan.cli"""

from mulligan.cli import main

main()
