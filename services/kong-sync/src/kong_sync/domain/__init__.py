"""What should stand in Kong, and how to get there: pure values and rules."""
