"""Tells somebody when something is wrong: `scrapy watchdog`."""
