"""How fast it is, and what that costs: measured on the development stack, and never asserted in a test."""
