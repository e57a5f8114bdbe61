"""The providers: each knows one vendor's wire."""
