"""The ledger of background work: runs and the artifacts they leave."""
