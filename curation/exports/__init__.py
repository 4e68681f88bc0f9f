"""Pure exports: the row schema, the recipe that makes rows, one module per training format, files and the card."""
