from common.migrations import run_env
from kong_sync.db.tables import metadata

run_env(metadata)
