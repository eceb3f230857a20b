package kernel

import (
	"fmt"
	"sync"

	"github.com/vishvananda/netlink"
)

// VRF returns the name of the VRF that an interface is in, "" for none; the error
// is that the kernel can't be asked. Each probe wants to know. So while Watch runs, the kernel
// is asked anew only once it has told of a change of an interface.
func (k *Kernel) VRF(iface string) (string, error) {
	return k.vrfs.of(iface, func() (string, error) {
		h, err := k.asking.take()
		if err != nil {
			return "", err
		}
		defer k.asking.put(h)
		vrf, err := vrfNamed(h, iface)
		if vrf == nil || err != nil {
			return "", err
		}
		return vrf.Name, nil
	})
}

// vrfs is what is known of the VRFs that interfaces are in.
type vrfs struct {
	mu      sync.Mutex
	known   map[string]string // by the interface; nil: nobody would tell of a change
	changes int               // how often all was forgotten
}

// of returns the VRF of an interface, and asks where it is not known.
func (v *vrfs) of(iface string, ask func() (string, error)) (string, error) {
	v.mu.Lock()
	name, ok := v.known[iface]
	before := v.changes
	v.mu.Unlock()
	if ok {
		return name, nil
	}
	name, err := ask()
	v.mu.Lock()
	defer v.mu.Unlock()
	if err == nil && v.known != nil && v.changes == before { // else the answer may be from before a change
		v.known[iface] = name
	}
	return name, err
}

// forget forgets all. Nothing is kept from now on unless somebody tells of changes.
func (v *vrfs) forget(told bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known = nil
	if told {
		v.known = map[string]string{}
	}
	v.changes++
}

// vrfNamed returns the VRF that an interface is in, nil where it is in none or is
// not there.
func vrfNamed(h *netlink.Handle, iface string) (*netlink.Vrf, error) {
	link, err := linkNamed(h, iface)
	if link == nil || err != nil {
		return nil, err
	}
	return vrfOf(h, link)
}

// vrfOf returns the VRF that a link is in, nil for none.
func vrfOf(h *netlink.Handle, link netlink.Link) (*netlink.Vrf, error) {
	if link.Attrs().MasterIndex == 0 {
		return nil, nil
	}
	master, err := h.LinkByIndex(link.Attrs().MasterIndex)
	if err = unlessMissing(err); err != nil {
		return nil, fmt.Errorf("the VRF of %s: %w", link.Attrs().Name, err)
	}
	vrf, _ := master.(*netlink.Vrf)
	return vrf, nil
}
