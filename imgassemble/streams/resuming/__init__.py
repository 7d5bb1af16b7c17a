"""Goes on with a stream that was cut."""
