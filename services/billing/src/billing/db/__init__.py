"""Tables and queries; SQL stops here."""
