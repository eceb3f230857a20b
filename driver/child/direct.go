package child

import (
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// direct reports whether a program, at a path without links, can be started without the shell,
// which takes half the time: no file that the kernel opens for that is elsewhere than the shell
// is. So a start can hang no more than that of the shell could. Nothing is known for sure of
// scripts, which name an interpreter. They go by way of the shell, as does all that is on
// another file system.
func direct(path string) bool {
	home, ok := deviceOf(shell)
	if !ok || !allOn(home, path) {
		return false
	}
	linker, ok := linkerOf(path)
	if !ok || linker == "" {
		return ok
	}
	linker, err := filepath.EvalSymlinks(linker)
	return err == nil && allOn(home, linker)
}

// allOn reports whether a file, and each directory on the way to it, are on a device.
func allOn(device uint64, path string) bool {
	for ; filepath.IsAbs(path); path = filepath.Dir(path) {
		if on, ok := deviceOf(path); !ok || on != device {
			return false
		}
		if path == "/" {
			return true
		}
	}
	return false
}

func deviceOf(path string) (device uint64, ok bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return uint64(stat.Dev), true //nolint:unconvert // smaller on some architectures
}

// linkerOf returns the dynamic linker that an ELF program names, "" where it needs none.
func linkerOf(path string) (linker string, ok bool) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() { // a pipe would hold it up
		return "", false
	}
	file, err := elf.Open(path)
	if err != nil {
		return "", false
	}
	defer func() { _ = file.Close() }()
	for _, p := range file.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name := make([]byte, min(p.Filesz, syscall.PathMax))
		if _, err := p.ReadAt(name, 0); err != nil {
			return "", false
		}
		return strings.TrimRight(string(name), "\x00"), true
	}
	return "", true
}
