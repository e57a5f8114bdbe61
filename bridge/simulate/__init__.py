"""The vendors' senders: what a bridge meets in production, played over HTTP and held against a ledger."""
