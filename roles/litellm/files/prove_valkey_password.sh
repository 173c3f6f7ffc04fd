# shellcheck shell=sh
# Standard input: a password. Valkey asks for it from everywhere.
IFS= read -r password
said=$(printf 'AUTH "%s"\n' "$(printf %s "$password" | sed 's/[\\"]/\\&/g')" | valkey-cli 2>&1)
case $said in
  OK) exit 0 ;;
  *WRONGPASS*) exit 10 ;;
esac
echo "$said" >&2
exit 1
