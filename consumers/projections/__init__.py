"""The projections: from envelopes to rows, one file per family of tables."""
