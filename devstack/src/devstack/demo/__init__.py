"""The demo: one call's way from a catalogue to a provider's balance, every figure checked."""
