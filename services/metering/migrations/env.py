from common.migrations import run_env
from metering.db.tables import metadata

run_env(metadata)
