"""One file per module, and the flow, the command and the house as a whole."""
