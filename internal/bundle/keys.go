package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"aead.dev/minisign"
)

// A PublicKey checks signatures. It is a minisign key (https://jedisct1.github.io/minisign/):
// the tool of that name makes, reads and checks the same files.
type PublicKey struct{ key minisign.PublicKey }

// A PrivateKey signs bundles.
type PrivateKey struct{ key minisign.PrivateKey }

// GenerateKey makes a pair of keys.
func GenerateKey() (PublicKey, PrivateKey, error) {
	pub, priv, err := minisign.GenerateKey(nil)
	return PublicKey{pub}, PrivateKey{priv}, err
}

// ID returns the ID of the key as minisign writes it: 16 hexadecimal digits, upper case. It
// tells keys apart and proves nothing.
func (k PublicKey) ID() string { return keyID(k.key.ID()) }

// String returns the one-line form, "RW…".
func (k PublicKey) String() string { return k.key.String() }

// Equal reports whether k and o are the same key.
func (k PublicKey) Equal(o PublicKey) bool { return k.key.Equal(o.key) }

// MarshalText returns what stands in FILE.pub: a comment line, and the one-line form.
func (k PublicKey) MarshalText() ([]byte, error) {
	text, err := k.key.MarshalText()
	return append(text, '\n'), err
}

// ID returns the ID of the key, which its public half shares.
func (k PrivateKey) ID() string { return keyID(k.key.ID()) }

// Public returns the public half.
func (k PrivateKey) Public() PublicKey {
	pub, _ := k.key.Public().(minisign.PublicKey)
	return PublicKey{pub}
}

// MarshalPrivateKey returns what stands in FILE.key, encrypted with the password; an empty
// one leaves the key open, as minisign -W does. Encrypting takes seconds and 1 GiB of
// memory: the parameters are minisign's.
func MarshalPrivateKey(k PrivateKey, password string) ([]byte, error) {
	var text []byte
	var err error
	if password == "" {
		text, err = k.key.MarshalText()
	} else {
		text, err = minisign.EncryptKey(password, k.key)
	}
	if err != nil {
		return nil, err
	}
	return append(bytes.TrimRight(text, "\n"), '\n'), nil
}

// maxKey is the size in bytes beyond which a file is no key.
const maxKey = 4 << 10

// ParsePublicKey reads a public key: the content of a FILE.pub, or the one-line form.
// The error has CodeKey.
func ParsePublicKey(text []byte) (PublicKey, error) {
	line, err := keyLine(text)
	if err != nil {
		return PublicKey{}, &Error{Code: CodeKey, Err: err}
	}
	var k minisign.PublicKey
	if err := k.UnmarshalText(line); err != nil {
		return PublicKey{}, &Error{Code: CodeKey, Err: err}
	}
	return PublicKey{k}, nil
}

// PublicKeyFrom reads a public key from what a user gives to --trust: the one-line form, or
// the name of a file. A file that is not there has CodeMissing.
func PublicKeyFrom(arg string) (PublicKey, error) {
	if strings.HasPrefix(arg, "RW") {
		if k, err := ParsePublicKey([]byte(arg)); err == nil {
			return k, nil
		}
	}
	text, err := readKeyFile(arg)
	if err != nil {
		return PublicKey{}, err
	}
	k, err := ParsePublicKey(text)
	return k, inFile(err, arg)
}

// ReadPrivateKey reads FILE.key. Password is called if the key is encrypted, and not otherwise;
// its error is returned as it is. A password that does not fit has CodePassword.
func ReadPrivateKey(file string, password func() (string, error)) (PrivateKey, error) {
	text, err := readKeyFile(file)
	if err != nil {
		return PrivateKey{}, err
	}
	k, err := ParsePrivateKey(text, password)
	return k, inFile(err, file)
}

// ParsePrivateKey is ReadPrivateKey for the content of a file.
func ParsePrivateKey(text []byte, password func() (string, error)) (PrivateKey, error) {
	line, err := keyLine(text)
	if err != nil {
		return PrivateKey{}, &Error{Code: CodeKey, Err: err}
	}
	if !minisign.IsEncrypted(line) {
		var k minisign.PrivateKey
		if err := k.UnmarshalText(line); err != nil {
			return PrivateKey{}, &Error{Code: CodeKey, Err: err}
		}
		return PrivateKey{k}, nil
	}
	pass, err := password()
	if err != nil {
		return PrivateKey{}, err
	}
	k, err := minisign.DecryptKey(pass, line)
	if err != nil {
		return PrivateKey{}, &Error{Code: CodePassword, Err: err}
	}
	return PrivateKey{k}, nil
}

func readKeyFile(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Code: CodeMissing, File: file, Err: err}
	}
	if err != nil {
		return nil, &Error{Code: CodeKey, File: file, Err: err}
	}
	if !info.Mode().IsRegular() || info.Size() > maxKey {
		return nil, &Error{Code: CodeKey, File: file, Err: errors.New("too large, or not a regular file")}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, &Error{Code: CodeKey, File: file, Err: err}
	}
	return text, nil
}

func inFile(err error, file string) error {
	var e *Error
	if errors.As(err, &e) {
		e.File = file
	}
	return err
}

// keyLine returns the line with the key: the only one that is neither empty nor a comment.
// An editor or a mail may have added carriage returns and blanks.
func keyLine(text []byte) ([]byte, error) {
	if len(text) > maxKey {
		return nil, errors.New("too large")
	}
	var key []byte
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || bytes.HasPrefix(line, []byte("untrusted comment:")) {
			continue
		}
		if key != nil {
			return nil, errors.New("more than one line")
		}
		key = line
	}
	if key == nil {
		return nil, errors.New("empty")
	}
	return key, nil
}

func keyID(id uint64) string { return fmt.Sprintf("%016X", id) }

// maxSignature is the size in bytes beyond which a text is no signature.
const maxSignature = 4 << 10

// sign returns the signature of a manifest: prehashed, as minisign makes it today, and without
// the time, so that the same bundle has the same bytes.
func sign(k PrivateKey, manifest []byte, id string) []byte {
	r := minisign.NewReader(bytes.NewReader(manifest))
	if _, err := r.Read(make([]byte, len(manifest)+1)); err != nil {
		panic(err) // reading memory
	}
	return r.SignWithComments(k.key, "goferry bundle "+id, "signature of "+ManifestName+" by key "+k.ID())
}

// signedBy returns the ID of the key that a signature names.
func signedBy(signature []byte) (string, error) {
	var s minisign.Signature
	if err := s.UnmarshalText(signature); err != nil {
		return "", err
	}
	return keyID(s.KeyID), nil
}
