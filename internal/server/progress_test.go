package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// sendfileListener notes which sources come down to the TCP connection's
// ReadFrom, the door to sendfile.
type sendfileListener struct {
	net.Listener
	sent chan int64
}

func (l sendfileListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return sendfileConn{c.(*net.TCPConn), l.sent}, nil
}

type sendfileConn struct {
	*net.TCPConn
	sent chan int64
}

func (c sendfileConn) ReadFrom(r io.Reader) (int64, error) {
	_, file := r.(*io.LimitedReader).R.(*os.File)
	n, err := c.TCPConn.ReadFrom(r)
	if file {
		c.sent <- n
	}
	return n, err
}

func TestSendfileIsKept(t *testing.T) {
	const size = 3<<20 + 17
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Listen(t.Context(), Config{Listen: "127.0.0.1:0", AccessLog: true})
	if err != nil {
		t.Fatal(err)
	}
	pl := s.ln.(*progressListener)
	sent := make(chan int64, 100)
	pl.Listener = sendfileListener{pl.Listener, sent}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- s.Serve(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, name) }))
	}()
	resp, body := get(t, client(t), s.URL())
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(body) != size || resp.ContentLength != size {
		t.Errorf("got %d bytes, Content-Length %d", len(body), resp.ContentLength)
	}
	close(sent)
	var total int64
	for n := range sent {
		total += n
	}
	if total != size-512 { // net/http sends the first 512 bytes itself, to sniff them
		t.Errorf("%d bytes went by way of ReadFrom", total)
	}
}

// A client that takes nothing of a file is dropped, sendfile or not.
func TestFileToClientThatReadsNothing(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(1 << 30); err != nil { // sparse; more than sockets hold
		t.Fatal(err)
	}
	f.Close()
	failed := make(chan error, 1)
	s, _ := start(t, Config{StallTimeout: 50 * time.Millisecond}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(name)
		if err != nil {
			t.Error(err)
		}
		defer f.Close()
		w.Header().Set("Content-Length", "1073741824")
		_, err = io.Copy(w, f)
		failed <- err
	}))
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("handler got %v", err)
	}
}

// A scriptedConn meets its deadline after each step of some bytes.
type scriptedConn struct {
	net.Conn
	steps []int
	armed int // how often the deadline was pushed on
}

func (c *scriptedConn) SetWriteDeadline(time.Time) error { c.armed++; return nil }

func (c *scriptedConn) step(limit int64) (int, error) {
	if len(c.steps) == 0 {
		return int(limit), nil
	}
	n := c.steps[0]
	c.steps = c.steps[1:]
	return n, os.ErrDeadlineExceeded
}

func (c *scriptedConn) Write(p []byte) (int, error) { return c.step(int64(len(p))) }

func (c *scriptedConn) ReadFrom(r io.Reader) (int64, error) {
	l := r.(*io.LimitedReader)
	n, err := c.step(l.N)
	m, rerr := io.CopyN(io.Discard, l, int64(n))
	if err == nil && rerr != nil && !errors.Is(rerr, io.EOF) {
		err = rerr
	}
	return m, err
}

func TestProgressOutdatesDeadline(t *testing.T) {
	const size = 1<<20 + 300
	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		steps []int
		want  int64
		armed int
	}{
		{"no deadline met", nil, size, 1},
		{"progress each time", []int{100, 1, 30000}, size, 4},
		{"then none", []int{100, 1, 0}, 101, 3},
		{"none at all", []int{0}, 0, 1},
	} {
		for _, how := range []string{"write", "file", "part of a file"} {
			t.Run(tt.name+"/"+how, func(t *testing.T) {
				sc := &scriptedConn{steps: tt.steps}
				c := &progressConn{Conn: sc, stall: time.Minute, bufs: newBufPool()}
				var n int64
				var err error
				switch how {
				case "write":
					var m int
					m, err = c.Write(make([]byte, size))
					n = int64(m)
				default:
					if _, err := file.Seek(0, io.SeekStart); err != nil {
						t.Fatal(err)
					}
					var src io.Reader = file
					if how != "file" {
						src = io.LimitReader(file, size)
					}
					n, err = c.ReadFrom(src)
				}
				if n != tt.want || (err != nil) != (tt.want != size) {
					t.Errorf("%d bytes, %v; want %d", n, err, tt.want)
				}
				if sc.armed != tt.armed {
					t.Errorf("deadline pushed %d times, want %d", sc.armed, tt.armed)
				}
			})
		}
	}
}

// A deadline set from above counts, and net/http's clearing of it brings the
// one on progress back.
func TestFixedDeadline(t *testing.T) {
	sc := &scriptedConn{steps: []int{5}}
	c := &progressConn{Conn: sc, stall: time.Minute, bufs: newBufPool()}
	if err := c.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Write(make([]byte, 10)); n != 5 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d, %v", n, err)
	}
	if err := c.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Write(make([]byte, 10)); n != 10 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if sc.armed != 2 {
		t.Errorf("deadline set %d times, want 2", sc.armed)
	}
}
