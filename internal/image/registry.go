package image

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Pin asks the registry of ref for what it is today, and returns ref with its digest. One that has a digest
// already is returned as it is. Passwords are those of docker login.
func Pin(ctx context.Context, ref string, rt http.RoundTripper) (string, error) {
	if Pinned(ref) {
		return ref, nil
	}
	r, err := name.ParseReference(ref)
	if err != nil {
		return "", fmt.Errorf("%w: image %q", ErrOption, ref)
	}
	d, err := remote.Head(r, remote.WithContext(ctx), remote.WithTransport(rt), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	if err != nil {
		return "", fmt.Errorf("%s: %w", r.Context().RegistryStr(), err)
	}
	return ref + "@" + d.Digest.String(), nil
}
