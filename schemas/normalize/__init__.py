"""From a provider's body to normalized fields: what the catalog compiles each of its rows into."""
