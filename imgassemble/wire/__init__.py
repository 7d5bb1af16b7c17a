"""Messages of services: bytes (sse) become typed events (events), and events become signals (signals, dialects)."""
