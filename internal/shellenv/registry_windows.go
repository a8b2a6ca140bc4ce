package shellenv

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// System completes m with what only the system knows: its registry, and where Documents is.
func System(m *Machine) {
	m.Registry = systemRegistry{}
	if dir, err := windows.KnownFolderPath(windows.FOLDERID_Documents, 0); err == nil {
		m.Documents = dir
	}
}

// systemRegistry is the registry of this machine.
type systemRegistry struct{}

func (k Key) open(access uint32) (registry.Key, error) {
	root, path, _ := strings.Cut(string(k), `\`)
	base := registry.CURRENT_USER
	if root == "HKLM" {
		base = registry.LOCAL_MACHINE
	}
	if access&registry.SET_VALUE != 0 {
		key, _, err := registry.CreateKey(base, path, access)
		return key, err
	}
	return registry.OpenKey(base, path, access)
}

// Get implements Registry.
func (systemRegistry) Get(k Key, name string) (Value, error) {
	key, err := k.open(registry.QUERY_VALUE)
	if err != nil {
		return Value{}, absent(err)
	}
	defer key.Close()
	text, kind, err := key.GetStringValue(name)
	if errors.Is(err, registry.ErrUnexpectedType) {
		return Value{}, ErrValue
	} else if err != nil {
		return Value{}, absent(err)
	}
	return Value{Text: text, Expand: kind == registry.EXPAND_SZ}, nil
}

// absent makes fs.ErrNotExist of what the registry says.
func absent(err error) error {
	if errors.Is(err, registry.ErrNotExist) {
		return fs.ErrNotExist
	}
	return err
}

// Set implements Registry.
func (systemRegistry) Set(k Key, name string, v Value) error {
	key, err := k.open(registry.SET_VALUE)
	if err != nil {
		return err
	}
	defer key.Close()
	if v.Expand {
		return key.SetExpandStringValue(name, v.Text)
	}
	return key.SetStringValue(name, v.Text)
}

// Delete implements Registry.
func (systemRegistry) Delete(k Key, name string) error {
	key, err := k.open(registry.SET_VALUE)
	if err != nil {
		return err
	}
	defer key.Close()
	return key.DeleteValue(name)
}

// Broadcast implements Registry. A program that does not answer does not hold it up for long.
func (systemRegistry) Broadcast() error {
	const (
		hwndBroadcast   = 0xffff
		wmSettingChange = 0x001a
		abortIfHung     = 0x0002
		timeoutMS       = 1000 // for each window that is there
	)
	what, err := windows.UTF16PtrFromString("Environment")
	if err != nil {
		return err
	}
	send := windows.NewLazySystemDLL("user32.dll").NewProc("SendMessageTimeoutW")
	if err := send.Find(); err != nil { // Nano Server has no windows
		return nil
	}
	var result uintptr
	ok, _, err := send.Call(hwndBroadcast, wmSettingChange, 0, uintptr(unsafe.Pointer(what)), abortIfHung, timeoutMS, uintptr(unsafe.Pointer(&result)))
	if ok == 0 && !errors.Is(err, windows.ERROR_TIMEOUT) && !errors.Is(err, windows.ERROR_SUCCESS) {
		return fmt.Errorf("the programs that run were not told: %w", err)
	}
	return nil
}
