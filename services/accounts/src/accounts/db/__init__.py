"""The tables of accounts and the queries on them; SQL stops here."""
