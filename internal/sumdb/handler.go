package sumdb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// A Handler serves Client.Open as /sumdb/NAME/…, for GET and HEAD. It expects
// whole paths, with /sumdb/ in front.
type Handler struct {
	Client *Client

	// Explain makes the lines of the answer to an error; nil, or no line, is the error's own text.
	Explain func(err error) []string
}

// ServeHTTP answers with the file, or with goproxy.Status and a text that says why not.
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		fail(w, http.StatusMethodNotAllowed, "method not allowed")
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/sumdb/")
	if !ok {
		fail(w, http.StatusNotFound, "not a path of the checksum database")
		return
	}
	data, immutable, err := h.Client.Open(r.Context(), name)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	head := w.Header()
	head.Set("Content-Type", "text/plain; charset=utf-8")
	if strings.Contains(name, "/tile/") && !strings.Contains(name, "/data/") {
		head.Set("Content-Type", "application/octet-stream") // hashes; a charset invites rewriting
	}
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Etag", fmt.Sprintf(`"%x"`, sha256.Sum256(data)))
	head.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(h.Client.freshness.Seconds())))
	if immutable {
		head.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

func (h Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return // nobody is listening
	}
	status, retry := goproxy.Status(err)
	if retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retry))
	}
	if h.Explain != nil {
		if lines := h.Explain(err); len(lines) > 0 {
			fail(w, status, strings.Join(lines, "\n"))
			return
		}
	}
	text := err.Error()
	var ge *goproxy.Error
	if errors.As(err, &ge) && ge.Hint != "" {
		text += "\nhint: " + ge.Hint
	}
	fail(w, status, text)
}

func fail(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// An error here means that the client left.
	_, _ = fmt.Fprintln(w, text)
}
