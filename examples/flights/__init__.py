"""Flight delays on real data, end to end."""
