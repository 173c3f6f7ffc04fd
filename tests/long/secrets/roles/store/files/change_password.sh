# shellcheck shell=sh
# Standard input: the new password, the old one. Over the local socket the server asks for none.
IFS= read -r new
printf "ALTER ROLE store PASSWORD '%s';" "$(printf %s "$new" | sed "s/'/''/g")" |
  psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username store --dbname store
