# shellcheck shell=sh
# Standard input: the new password, and the old one, which is not needed: on its own socket PostgreSQL asks for none.
IFS= read -r new
export new
exec psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username litellm --dbname litellm <<'SQL'
\getenv new new
ALTER ROLE litellm PASSWORD :'new';
SQL
