"""How the segment store's tables came about, one step per file in `versions`."""
