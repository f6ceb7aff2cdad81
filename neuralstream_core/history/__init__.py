"""The offline half: every acknowledged write is kept, as Parquet, and answered as of any time."""
