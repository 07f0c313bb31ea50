"""Reading an OpenAPI document: bytes to a checked tree, a tree to operations. Nothing else is fetched."""
