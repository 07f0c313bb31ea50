#!/bin/bash
# A database and three roles for each service, made by the superuser when the data folder is new.
#
#   <db>_owner   owns the tables and runs the migrations
#   <db>_api     serves requests; owns nothing, row-level security binds it
#   <db>_worker  serves every organisation: BYPASSRLS, which only a superuser can grant (and COPY needs)
#
# Passwords come from <DB>_OWNER_PASSWORD, <DB>_API_PASSWORD and <DB>_WORKER_PASSWORD.
set -euo pipefail

password() {
  local name="${1^^}_${2^^}_PASSWORD"
  printf '%s' "${!name:?$name is not set}"
}

for db in accounts catalog subscriptions metering billing kong_sync; do
  # psql quotes its variables, so no password can break out of its statement; assigned first, since `set -e` does
  # not see a failure inside an argument.
  owner=$(password "$db" owner)
  api=$(password "$db" api)
  worker=$(password "$db" worker)
  psql -v ON_ERROR_STOP=1 --no-psqlrc --quiet --username "$POSTGRES_USER" --dbname postgres \
    -v db="$db" -v owner_role="${db}_owner" -v api_role="${db}_api" -v worker_role="${db}_worker" \
    -v owner="$owner" -v api="$api" -v worker="$worker" <<'SQL'
CREATE ROLE :"owner_role" LOGIN PASSWORD :'owner';
CREATE ROLE :"api_role" LOGIN PASSWORD :'api';
CREATE ROLE :"worker_role" LOGIN BYPASSRLS PASSWORD :'worker';
CREATE DATABASE :"db" OWNER :"owner_role";
REVOKE ALL ON DATABASE :"db" FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE :"db" TO :"api_role", :"worker_role";
\connect :"db"
CREATE EXTENSION IF NOT EXISTS btree_gist;
ALTER SCHEMA public OWNER TO :"owner_role";
GRANT USAGE ON SCHEMA public TO :"api_role", :"worker_role";
SQL
done
