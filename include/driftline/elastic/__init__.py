"""All that talks to Elasticsearch: the client, reads, idempotent writes, snapshots, and the embedded node."""
