#!/bin/sh
# What the container does (start), and what Hearth has it do: read its files again (reload), and try new ones (check).
set -eu

# A zone of challenges is named's own, because it is written by updates. It begins empty, and empty again after a
# restart: a challenge lasts for minutes.
begin_challenges() {
  for file in /etc/bind/challenges/*.zone; do
    [ ! -e "$file" ] || [ -e "/var/cache/bind/${file##*/}" ] || cp "$file" /var/cache/bind/
  done
}

begin_challenges
case $1 in
  start)
    # In the foreground, with its log on standard error; over IPv4, which is all that `frontend` has. Without -n it would
    # take a thread for each processor of the host.
    exec named -g -4 -n 2 -c /etc/bind/named.conf
    ;;
  reload)
    rndc -k /run/secrets/rndc.key reload
    ;;
  check)
    for file in /etc/bind/zones/*/*.zone; do
      zone=${file##*/}
      # Names of other zones (-i local) may be beyond reach here, and are not ours to judge.
      named-checkzone -q -i local -k fail -m fail -M fail -n fail "${zone%.zone}" "$file" ||
        named-checkzone -i local -k fail -m fail -M fail -n fail "${zone%.zone}" "$file"
    done
    named-checkconf -z /etc/bind/named.conf
    ;;
esac
