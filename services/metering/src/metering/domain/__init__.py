"""Pure rules of reading, attributing, folding and dating calls."""
