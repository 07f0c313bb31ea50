"""Tables and the queries on them; SQL stops here."""
