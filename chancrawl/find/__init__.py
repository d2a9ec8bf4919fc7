"""Search in stored texts: `scrapy find`, and the index that makes it fast."""
