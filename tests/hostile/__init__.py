"""Nothing lost: what comes from outside is hostile until it is shown."""
