"""What is known about the sources and about collecting. Imports neither spiders nor pipelines."""

__version__ = "0.1.0"
