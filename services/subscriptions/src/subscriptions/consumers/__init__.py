"""Events of other services: one narrow model and one handler each."""
