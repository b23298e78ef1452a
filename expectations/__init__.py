"""What the data must satisfy: the contract, its rules, and the gate that asks them."""
