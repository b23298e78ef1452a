"""Steps: what happens to the table of customers."""
