"""X (Twitter): what its API says, what may be asked for, what it costs, how feeds are read."""
