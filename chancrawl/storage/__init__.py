"""Where rows go, and what is known of them. Knows no source."""
