package tcptrace

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// opened is a Trace. On a machine that allows none it is nil, and Open has to have said so honestly: each test goes on and asserts that
// nothing is known then.
func opened(t *testing.T) *Trace {
	t.Helper()
	tr, err := Open()
	if may := allowed(); may == nil {
		if err != nil {
			t.Fatalf("the kernel takes what a trace needs, and yet: %v", err)
		}
		t.Cleanup(func() {
			if err := tr.Close(); err != nil {
				t.Error(err)
			}
		})
		return tr
	} else if tr != nil || !errors.Is(err, ErrNoRights) && !errors.Is(err, ErrNotHere) {
		t.Fatalf("Open = %v, %v, where %v", tr, err, may)
	}
	t.Logf("asserting what is said where there is no trace: %v", err)
	return &Trace{}
}

// allowed asks the kernel by other means than the package does: an error says what is missing.
func allowed() error {
	if _, err := os.Stat(kernelTypes); err != nil {
		return err
	}
	// union bpf_attr for BPF_PROG_LOAD of a raw tracepoint that returns 0.
	code, words := [...]uint64{0xb7, 0x95}, []byte("GPL\x00")
	attr := struct {
		kind, count   uint32
		code, license uint64
		_             [12]uint64
	}{kind: 17, count: 2, code: uint64(uintptr(unsafe.Pointer(&code))), license: uint64(uintptr(unsafe.Pointer(&words[0])))}
	const progLoad = 5
	fd, _, errno := unix.Syscall(unix.SYS_BPF, progLoad, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(&code)
	runtime.KeepAlive(words)
	if errno != 0 {
		return errno
	}
	return unix.Close(int(fd))
}

// loopbacks are the addresses of this machine; not all have IPv6.
func loopbacks(t *testing.T) []string {
	list := []string{"127.0.0.1:0"}
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Logf("IPv4 alone: %v", err)
		return list
	}
	l.Close()
	return append(list, "[::1]:0")
}

// A side is a listener on loopback.
type side struct {
	*net.TCPListener
	addr netip.AddrPort
}

func listen(t *testing.T, addr string) side {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return side{l.(*net.TCPListener), l.Addr().(*net.TCPAddr).AddrPort()}
}

// connect makes a connection; it returns its end here, and the one there.
func (s side) connect(t *testing.T) (here, there *net.TCPConn) {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	there, err = s.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { there.Close() })
	return conn.(*net.TCPConn), there
}

// cut ends a connection by a reset.
func cut(t *testing.T, conn *net.TCPConn) {
	t.Helper()
	if err := errors.Join(conn.SetLinger(0), conn.Close()); err != nil {
		t.Fatal(err)
	}
}

// hear waits for the end of a connection, of whatever kind.
func hear(t *testing.T, conn *net.TCPConn) {
	t.Helper()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Fatal("somebody said something")
	}
}

// TestCounts makes each of the things that are counted happen to a watched address, and to one that nobody watches.
func TestCounts(t *testing.T) {
	for _, loopback := range loopbacks(t) {
		for _, v := range []struct {
			name string
			do   func(t *testing.T, s side)
			want Counts
		}{
			{"all is well", func(t *testing.T, s side) {
				here, there := s.connect(t)
				there.Close()
				hear(t, here)
			}, Counts{}},
			{"cut off by the other side", func(t *testing.T, s side) {
				for range 2 {
					here, there := s.connect(t)
					cut(t, there)
					hear(t, here)
				}
			}, Counts{ResetsReceived: 2}},
			{"refused", func(t *testing.T, s side) {
				s.Close()
				if conn, err := net.Dial("tcp", s.addr.String()); err == nil {
					conn.Close()
					t.Fatal("somebody listens")
				}
			}, Counts{ResetsReceived: 1}},
			{"cut off here", func(t *testing.T, s side) {
				here, there := s.connect(t)
				cut(t, here)
				hear(t, there)
			}, Counts{ResetsSent: 1}},
		} {
			t.Run(v.name+" at "+loopback, func(t *testing.T) {
				tr := opened(t)
				known := tr.counts != nil
				before, watched, other := listen(t, loopback), listen(t, loopback), listen(t, loopback)
				v.do(t, before) // what was there before
				if err := tr.Watch(watched.addr); (err == nil) != known {
					t.Fatal(err)
				}
				v.do(t, watched)
				v.do(t, other)
				want := v.want
				if !known {
					want = Counts{}
				}
				got, ok := tr.Counts(watched.addr)
				got.Retransmits = 0 // a machine that is very busy repeats something even on loopback
				if diff := cmp.Diff(want, got); diff != "" || ok != known {
					t.Errorf("known: %t (-want +got)\n%s", ok, diff)
				}
				if got, ok := tr.Counts(other.addr); ok || got != (Counts{}) {
					t.Errorf("an address that nobody watches has %+v", got)
				}
				if err := tr.Watch(before.addr); (err == nil) != known {
					t.Fatal(err)
				}
				if got, ok := tr.Counts(before.addr); ok != known || got.ResetsReceived != 0 || got.ResetsSent != 0 {
					t.Errorf("what was before counts: %+v", got)
				}
				if err := tr.Watch(watched.addr); (err == nil) != known {
					t.Fatal(err)
				}
				if again, _ := tr.Counts(watched.addr); again.ResetsReceived != want.ResetsReceived || again.ResetsSent != want.ResetsSent {
					t.Errorf("a second Watch made %+v of it", again)
				}
			})
		}
	}
}

// TestRetransmits sends to somebody who loses all of it.
func TestRetransmits(t *testing.T) {
	for _, loopback := range loopbacks(t) {
		t.Run(loopback, func(t *testing.T) {
			tr := opened(t)
			s := listen(t, loopback)
			if err := tr.Watch(s.addr); (err == nil) != (tr.counts != nil) {
				t.Fatal(err)
			}
			if tr.counts == nil {
				if got, ok := tr.Counts(s.addr); ok || got != (Counts{}) {
					t.Errorf("without a trace there is %+v", got)
				}
				return
			}
			here, there := s.connect(t)
			loseAll(t, there)
			if _, err := here.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			look := time.NewTicker(10 * time.Millisecond)
			defer look.Stop()
			for {
				got, ok := tr.Counts(s.addr)
				if !ok || got.ResetsReceived != 0 || got.ResetsSent != 0 {
					t.Fatalf("%+v, %t", got, ok)
				}
				if got.Retransmits > 0 {
					return
				}
				select {
				case <-look.C:
				case <-t.Context().Done():
					t.Fatal("nothing was sent again")
				}
			}
		})
	}
}

// loseAll lets a socket lose whatever comes in, as a bad link would.
func loseAll(t *testing.T, conn *net.TCPConn) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	filter := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	var fails error
	err = raw.Control(func(fd uintptr) {
		fails = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &filter[0]})
	})
	if err := errors.Join(err, fails); err != nil {
		t.Fatal(err)
	}
}

// TestNoRights asks in a thread that has given up all its rights.
func TestNoRights(t *testing.T) {
	if _, err := os.Stat(kernelTypes); err != nil {
		if _, err := Open(); !errors.Is(err, ErrNotHere) && !errors.Is(err, ErrNoRights) {
			t.Errorf("Open = %v", err)
		}
		return
	}
	type answer struct {
		tr  *Trace
		err error
	}
	got := make(chan answer)
	go func() {
		runtime.LockOSThread() // and the thread ends with this goroutine: it is never unlocked
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&head, &none[0]); err != nil {
			got <- answer{nil, err}
			return
		}
		tr, err := Open()
		got <- answer{tr, err}
	}()
	if a := <-got; a.tr != nil || !errors.Is(a.err, ErrNoRights) && !errors.Is(a.err, ErrNotHere) {
		t.Errorf("without rights Open = %v, %v", a.tr, a.err)
	} else if allowed() == nil && !errors.Is(a.err, ErrNoRights) {
		t.Errorf("it is only for want of rights, and yet: %v", a.err)
	}
}

// TestNotHere is about kernels that lack something. Where the kernel lacks the rest, too, that is said as well.
func TestNotHere(t *testing.T) {
	strange := programs()
	strange[1].tracepoint = "tcp_of_another_kernel"
	for _, v := range []struct {
		name  string
		list  []program
		types string
	}{
		{"no description of the types", programs(), filepath.Join(t.TempDir(), "vmlinux")},
		{"a description of other types", programs(), types(t, &btf.Struct{Name: "sock", Size: 4})},
		{"other fields", programs(), types(t, &btf.Struct{Name: "sock_common", Size: 4,
			Members: []btf.Member{{Name: "skc_family", Type: &btf.Int{Name: "short", Size: 2}}}})},
		{"no description at all", programs(), "/dev/null"},
		{"no such tracepoint", strange, kernelTypes},
	} {
		t.Run(v.name, func(t *testing.T) {
			tr, err := open(v.list, v.types)
			if tr != nil || !errors.Is(err, ErrNotHere) && (allowed() == nil || !errors.Is(err, ErrNoRights)) {
				t.Errorf("open = %v, %v", tr, err)
			}
		})
	}
}

// types writes a description of types, as the kernel has one.
func types(t *testing.T, list ...btf.Type) string {
	t.Helper()
	b, err := btf.NewBuilder(list, nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := b.Marshal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "vmlinux")
	if err := os.WriteFile(name, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestAlteredIsNotLoaded shows that it is not even looked at what the kernel allows.
func TestAlteredIsNotLoaded(t *testing.T) {
	for i := range programs() {
		list := programs()
		code := []byte(list[i].code)
		code[len(code)-1] ^= 0x80
		list[i].code = string(code)
		if tr, err := open(list, "/nowhere"); tr != nil || !errors.Is(err, ErrAltered) || errors.Is(err, ErrNotHere) || errors.Is(err, ErrNoRights) {
			t.Errorf("%s: open = %v, %v", list[i].tracepoint, tr, err)
		}
	}
}

// TestRejected is about a program that the kernel does not take: that is nobody's fault but ours.
func TestRejected(t *testing.T) {
	var b bytes.Buffer
	if err := (asm.Instructions{asm.LoadMem(asm.R0, asm.R0, 0, asm.DWord), asm.Return()}).Marshal(&b, binary.LittleEndian); err != nil {
		t.Fatal(err)
	}
	p := program{"tcp_send_reset", b.String(), fmt.Sprintf("%x", sha256.Sum256(b.Bytes()))}
	tr, err := open([]program{p}, kernelTypes)
	if said := errors.Is(err, ErrNoRights) || errors.Is(err, ErrNotHere); tr != nil || err == nil || said == (allowed() == nil) {
		t.Errorf("open = %v, %v", tr, err)
	}
}

// TestOffsets compares with what is known of all kernels: struct sock_common begins with these.
func TestOffsets(t *testing.T) {
	got, err := offsets(kernelTypes)
	if _, gone := os.Stat(kernelTypes); gone != nil {
		if !errors.Is(err, ErrNotHere) {
			t.Error(err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if family, port, four, six := got[0], got[1], got[2], got[3]; family != 16 || port != 12 || four != 0 || six != 0 && six < 24 {
		t.Errorf("%v are at %v", offsetFields(), got)
	}
}

func TestFull(t *testing.T) {
	tr := opened(t)
	known := tr.counts != nil
	at := func(i int) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(1+i)) }
	for i := range addrMost {
		if err := tr.Watch(at(i)); (err == nil) != known {
			t.Fatalf("the address %d: %v", i, err)
		}
	}
	if err := tr.Watch(at(addrMost)); err == nil {
		t.Error("there is always room")
	}
	if _, ok := tr.Counts(at(addrMost)); ok {
		t.Error("what is not watched is counted")
	}
	if err := tr.Watch(at(0)); (err == nil) != known {
		t.Errorf("one that is watched already: %v", err)
	}
}

func TestClosed(t *testing.T) {
	tr := opened(t)
	addr := netip.MustParseAddrPort("[2001:db8::1]:443")
	if err := tr.Watch(addr); (err == nil) != (tr.counts != nil) {
		t.Fatal(err)
	}
	for range 2 {
		if err := tr.Close(); err != nil {
			t.Fatal(err)
		}
		if _, ok := tr.Counts(addr); ok {
			t.Error("it counts after Close")
		}
		if err := tr.Watch(addr); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Watch = %v", err)
		}
	}
}
