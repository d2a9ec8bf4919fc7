"""4chan, and other imageboards of its kind: what their API says, what to ask for next, what it means."""
