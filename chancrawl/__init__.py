"""What is known about the sources and about collecting. Imports neither spiders nor pipelines."""
