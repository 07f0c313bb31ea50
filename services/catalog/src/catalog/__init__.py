"""The catalogue: APIs, their versions, documents and plans, and how they are found."""
