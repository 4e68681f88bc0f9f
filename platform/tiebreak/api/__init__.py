"""DRF glue that every app shares: problem+json, authentication, pagination, idempotency."""
