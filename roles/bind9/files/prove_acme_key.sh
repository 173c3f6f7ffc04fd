# shellcheck shell=sh
# Standard input: a key. named checks the signature of a question before it looks at the question.
IFS= read -r key
umask 077
file=$(mktemp /run/named/prove.XXXXXX)
trap 'rm -f "$file"' EXIT
echo "key acme { algorithm hmac-sha256; secret \"$key\"; };" >"$file"
said=$(dig +time=5 +tries=1 @127.0.0.1 -k "$file" hearth.invalid SOA 2>&1)
case $said in
  *'status: NOTAUTH'*) exit 10 ;;
  *'verify signature'*) ;;
  *'status: '*) exit 0 ;;
esac
echo "$said" | tail -n 1 >&2
exit 1
