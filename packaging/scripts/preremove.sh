#!/bin/sh
# Before a removal: everything is withdrawn while keepcast can still do so. An
# upgrade leaves the running keepcast alone.
#   deb:  remove | upgrade VERSION | ...;  rpm: 0 removal, 1 upgrade
#   apk and archlinux call this at a removal only, with a version
set -e
case "${1:-}" in
  upgrade | failed-upgrade | deconfigure | 1) exit 0 ;;
esac

if [ -d /run/systemd/system ]; then
  # Should dpkg not get through with it, it is to run again (abort-remove).
  if systemctl is-enabled --quiet keepcast.service; then touch /run/keepcast-was-enabled; fi
  systemctl --no-reload disable --now keepcast.service
  systemctl stop keepcast-failsafe.service
elif command -v rc-service >/dev/null; then
  rc-service --ifstarted keepcast stop || true
  rc-update --quiet del keepcast || true # it may be in no runlevel
fi
# A stop that keeps the host as it is (on_stop: keep), or a keepcast that did not
# run: what is left would be announced for ever. Where none ran since the boot,
# such as in an image that is being made, the kernel is not to be touched.
[ -e /run/keepcast/state.json ] || exit 0
keepcast withdraw-all --linger 0s >/dev/null ||
  echo "keepcast: see above what was not withdrawn; \"ip address show\" and the routing daemon tell what is left" >&2
