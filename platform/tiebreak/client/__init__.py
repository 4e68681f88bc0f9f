"""The Python client: versions pulled, rows pushed, over REST. Needs neither Django nor anything else of the server."""
