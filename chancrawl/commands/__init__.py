"""The commands of `scrapy` in this project."""

import sys

from chancrawl.surroundings import stop_quietly

if "scrapy.cmdline" in sys.modules:  # this process is the command, and not a program that imports it
    stop_quietly()
