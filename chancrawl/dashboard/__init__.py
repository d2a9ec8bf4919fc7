"""Web pages that show an archive: `scrapy dashboard`. They read, and change nothing."""
