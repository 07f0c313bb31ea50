from common.migrations import run_env
from subscriptions.db.tables import metadata

run_env(metadata)
