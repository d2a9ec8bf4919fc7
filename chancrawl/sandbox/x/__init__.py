"""A local X: accounts that post, and the API v2 with its credentials, limits and errors."""
