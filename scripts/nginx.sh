#!/bin/sh
# Installs Debian's nginx for tests/deploy/test_nginx.py as a program only: the package would start a server on port 80,
# now and whenever the machine starts.
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends nginx
update-rc.d nginx disable
