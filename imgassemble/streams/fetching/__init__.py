"""Gets the pictures that a service sent as URLs."""
