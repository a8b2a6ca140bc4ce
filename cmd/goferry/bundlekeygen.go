package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/goferry/goferry/internal/bundle"
)

func (a *app) bundleKeygenCmd() *cobra.Command {
	var open bool
	cmd := a.bundleSub("keygen NAME", "keygen", a.oneArg, func(cmd *cobra.Command, args []string) error {
		return a.keygen(cmd, args[0], open)
	})
	cmd.Flags().BoolVar(&open, "no-password", false, a.p.T("bundle.flag-no-password"))
	a.jsonFlag(cmd)
	return cmd
}

// keygen makes NAME.key and NAME.pub. A key that is there is never replaced.
func (a *app) keygen(cmd *cobra.Command, name string, open bool) error {
	secret, public := name+".key", name+".pub"
	for _, file := range []string{secret, public} {
		if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
			if err == nil {
				err = fs.ErrExist
			}
			return keyFileFault(file, err)
		}
	}
	password := ""
	if !open {
		var err error
		if password, err = a.newPassword(secret); err != nil {
			return err
		}
	}
	pub, key, err := bundle.GenerateKey()
	if err != nil {
		return err
	}
	keyText, err := bundle.MarshalPrivateKey(key, password)
	if err != nil {
		return err
	}
	pubText, err := pub.MarshalText()
	if err != nil {
		return err
	}
	if err := writeNew(secret, keyText, 0o600); err != nil {
		return keyFileFault(secret, err)
	}
	if err := writeNew(public, pubText, 0o644); err != nil {
		return keyFileFault(public, err)
	}
	if asJSON(cmd) {
		return a.json(map[string]any{"id": pub.ID(), "public_key": pub.String(), "public_file": public, "private_file": secret, "encrypted": password != ""})
	}
	fmt.Fprintln(a.stdout, a.p.T("bundle.keygen.done", "Secret", secret, "Public", public, "ID", pub.ID()))
	_, err = fmt.Fprintln(a.stdout, a.p.T("bundle.keygen.use", "Secret", secret, "Public", public, "Key", pub.String()))
	return err
}

func keyFileFault(file string, err error) error {
	code, hint := "bundle.error.key-write", "bundle.hint.key-write"
	if errors.Is(err, fs.ErrExist) {
		code, hint = "bundle.error.key-exists", "bundle.hint.key-exists"
	}
	return &fault{code: code, args: []any{"File", file, "Err", plain(err)}, hint: hint, exit: 1, err: err}
}

// writeNew writes a file that must not be there yet.
func writeNew(name string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// newPassword asks twice for the password of a new key.
func (a *app) newPassword(file string) (string, error) {
	first, err := a.keyPassword(file)()
	if err != nil || a.env("GOFERRY_KEY_PASSWORD") != "" {
		return first, err
	}
	if first == "" {
		return "", &fault{code: "bundle.error.empty-password", hint: "bundle.hint.empty-password", exit: 2}
	}
	f := a.stdin.(*os.File) // the first one came from there
	fmt.Fprint(a.stderr, "goferry: "+a.p.T("bundle.ask-again")+" ")
	second, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(a.stderr)
	if err == nil && string(second) != first {
		return "", &fault{code: "bundle.error.other-password", hint: "bundle.hint.other-password", exit: 2}
	}
	return first, err
}
