package server

import (
	"fmt"
	"net/http"
	"strings"
)

// Prefix is where everything lives that is not the module protocol. No module
// path begins with "-".
const Prefix = "/-/"

// A Mux sends what is below Prefix to its own handlers and everything else to
// one other. Unlike http.ServeMux it never redirects and never cleans a path:
// the paths of the protocol mean what they say.
type Mux struct {
	rest  http.Handler
	exact map[string]http.Handler
	trees map[string]http.Handler // by path with a trailing slash
}

// NewMux returns a Mux that sends every path outside Prefix to rest.
func NewMux(rest http.Handler) *Mux {
	return &Mux{rest: rest, exact: map[string]http.Handler{}, trees: map[string]http.Handler{}}
}

// Handle sets the handler of path, which begins with Prefix. A path that ends in
// a slash stands for all paths below it, and the longest such path wins. It
// panics on a path outside Prefix or one that has a handler: the caller's bug,
// found at start. It must not be called once the Mux serves.
func (m *Mux) Handle(path string, h http.Handler) {
	set := m.exact
	if strings.HasSuffix(path, "/") {
		set = m.trees
	}
	if !strings.HasPrefix(path, Prefix) || path == Prefix || set[path] != nil {
		panic(fmt.Sprintf("server: cannot handle %q", path))
	}
	set[path] = h
}

// ServeHTTP sends the request where it belongs; below Prefix what is unknown is
// 404, never a question for an upstream.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := r.URL.Path
	if !strings.HasPrefix(p, Prefix) && p != "/-" {
		m.rest.ServeHTTP(w, r)
		return
	}
	if h := m.exact[p]; h != nil {
		h.ServeHTTP(w, r)
		return
	}
	for i := strings.LastIndexByte(p, '/'); i > len(Prefix); i = strings.LastIndexByte(p[:i], '/') {
		if h := m.trees[p[:i+1]]; h != nil {
			h.ServeHTTP(w, r)
			return
		}
	}
	http.Error(w, "not found: no such page below "+Prefix, http.StatusNotFound)
}

// Build says what the running binary is made of.
type Build struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Revision string `json:"revision"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// VersionHandler answers /-/version with b as JSON.
func VersionHandler(b Build) http.Handler {
	return readOnly(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, b) })
}

// readOnly answers GET and HEAD by h, anything else with 405.
func readOnly(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed: only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		h(w, r)
	})
}
