#!/bin/sh
# After a removal systemd forgets the unit; a purge (deb) leaves no file. The user
# stays, as Debian wants it: what it may own elsewhere must not become another's.
set -e
rm -f /run/keepcast-was-enabled
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl reset-failed keepcast.service keepcast-failsafe.service 2>/dev/null || true # it knows them no more
fi
if [ "${1:-}" = purge ]; then
  rm -rf /etc/keepcast /var/lib/keepcast /run/keepcast
fi
