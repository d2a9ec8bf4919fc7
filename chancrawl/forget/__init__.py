"""Removal: `scrapy forget` takes posts and people out of the store and its files, and keeps them out."""
