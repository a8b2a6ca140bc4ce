package transport

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// noise returns n bytes that are the same for the same seed.
func noise(seed uint64, n int) []byte {
	var key [32]byte
	key[0] = byte(seed)
	data := make([]byte, n)
	rand.NewChaCha8(key).Read(data)
	return data
}

// An origin serves a file with ranges; its faults are functions, one for each request.
type origin struct {
	data     []byte
	etag     string
	modified time.Time
	faults   []func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc)

	mu    sync.Mutex
	asked []string // the Range and If-Range fields of the requests, in their order
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	n := len(o.asked)
	o.asked = append(o.asked, strings.TrimSpace(r.Header.Get("Range")+" "+r.Header.Get("If-Range")))
	o.mu.Unlock()
	if n < len(o.faults) && o.faults[n] != nil {
		o.faults[n](w, r, o.serve)
		return
	}
	o.serve(w, r)
}

func (o *origin) serve(w http.ResponseWriter, r *http.Request) {
	if o.etag != "" && w.Header().Get("Etag") == "" {
		w.Header().Set("Etag", o.etag)
	}
	if strings.HasPrefix(o.etag, "W/") || o.etag == "" {
		r = r.Clone(r.Context())
		if r.Header.Get("If-Range") == "" {
			r.Header.Del("If-Range")
		}
	}
	w.Header().Set("Content-Type", "application/zip")
	http.ServeContent(w, r, "", o.modified, bytes.NewReader(o.data))
}

// A cutter breaks an answer off behind some bytes of its body.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) > c.left {
		c.ResponseWriter.Write(p[:c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}

type fault = func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc)

func cutAt(n int) fault {
	return func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) { serve(&cutter{w, n}, r) }
}

// chunked sends data without a length, and breaks off behind n bytes of it.
func chunked(data []byte, n int, etag string) fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Etag", etag)
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		(&cutter{w, n}).Write(append(slices.Clone(data[:n]), 0))
	}
}

func serveWhole(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	r = r.Clone(r.Context())
	r.Header.Del("Range")
	serve(w, r)
}

func status(code int, header ...string) fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		for _, h := range header {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(code)
	}
}

// with changes what the origin says about the file for one answer.
func with(etag string, data []byte, as fault) fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		r = r.Clone(r.Context())
		r.Header.Del("If-Range") // a server that does not compare
		as(w, r, (&origin{data: data, etag: etag}).serve)
	}
}

func raw(code int, contentRange string, body []byte) fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		if contentRange != "" {
			w.Header().Set("Content-Range", contentRange)
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(code)
		w.Write(body)
	}
}
