"""SQL: functions on a session; rows stay here, frozen values leave."""
