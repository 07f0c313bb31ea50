"""A double of Kong 3.9: its Admin API and its proxy, as far as this project uses them."""

VERSION = "3.9.3"
SERVER_TOKEN = f"kong/{VERSION}"
