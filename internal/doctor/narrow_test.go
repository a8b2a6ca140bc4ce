package doctor

import (
	"context"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/transport"
)

// A deafTo loses what comes in one piece that is longer than a packet may be.
type deafTo struct {
	net.Conn
	widest int
	got    []byte
}

func (c *deafTo) Read(p []byte) (int, error) {
	buf := make([]byte, 64<<10)
	for len(c.got) == 0 {
		n, err := c.Conn.Read(buf)
		if err != nil {
			return 0, err
		}
		if n <= c.widest {
			c.got = slices.Clone(buf[:n])
		}
	}
	n := copy(p, c.got)
	c.got = c.got[n:]
	return n, nil
}

// TestAnswersLost has a link on which the large packets of answers are lost, so that no hello helps, however small.
func TestAnswersLost(t *testing.T) {
	for _, tt := range []struct {
		name   string
		build  func(n *internet)
		deaf   bool // to large answers
		narrow bool // small packets get through
		want   Verdict
		fact   Answer
		mtu    bool
	}{
		{name: "large answers are lost", build: func(*internet) {}, deaf: true, narrow: true, want: VerdictTLSTimeout, fact: Yes, mtu: true},
		{name: "nothing is answered, be it small", build: func(n *internet) { n.rule(func(simHello, int) simDeed { return hold }) }, narrow: true,
			want: VerdictTLSTimeout, fact: No},
		{name: "the system cannot make packets small", build: func(*internet) {}, deaf: true, want: VerdictTLSTimeout},
		{name: "the name is swallowed", build: func(n *internet) { n.censor(hold) }, narrow: true, want: VerdictSNIReset, fact: No},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := newInternet(t)
			tt.build(n)
			x, target := n.exam("https://"+simHost, "")
			if tt.narrow {
				x.Net.DialNarrow = n.dial
			}
			x.Net.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := n.dial(ctx, network, addr)
				if err == nil && tt.deaf && strings.HasPrefix(addr, "45.77.1.10") {
					conn = &deafTo{Conn: conn, widest: 700}
				}
				return conn, err
			}
			r := x.Reach(t.Context(), target)
			if r.Verdict != tt.want || r.Op != transport.OpTLS || answerOf(r.Facts, factNarrow) != tt.fact {
				t.Fatalf("verdict %s\n%s", r.Verdict, showFacts(r.Facts))
			}
			o := networkCheck(t.Context(), x)
			if got := len(o.Findings) == 1 && len(o.Findings[0].Fixes) > 0 && o.Findings[0].Fixes[0].Code == fixMTU; got != tt.mtu {
				t.Errorf("found %+v", o.Findings)
			}
			checkCodes(t, o)
		})
	}
}

// TestCutOffBy: a hello in pieces that gets through where no other one does shows that somebody reads it, and no large packets.
func TestCutOffBy(t *testing.T) {
	no, yes := Step{Answer: No, Failure: transport.Reset}, Step{Answer: Yes}
	for name, tt := range map[string]struct {
		e    experiments
		want Verdict
	}{
		"small":                 {experiments{small: yes, pieces: yes, noName: yes}, VerdictTLSLargeHello},
		"pieces, another name":  {experiments{small: no, pieces: yes, narrow: yes, noName: yes, http1: no}, VerdictSNIReset},
		"pieces, nothing else":  {experiments{small: no, pieces: yes, noName: no, http1: no}, VerdictTCPReset},
		"narrow after a reset":  {experiments{small: no, pieces: no, narrow: yes, noName: yes}, VerdictSNIReset},
		"nothing":               {experiments{small: no, pieces: no, noName: no}, VerdictTCPReset},
		"another name and HTTP": {experiments{small: no, pieces: no, http1: yes, noName: yes}, VerdictH2Broken},
	} {
		r := Reached{proofs: proofs{experiments: tt.e}}
		if got := r.cutOffBy(transport.Reset); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// TestDialNarrow sends and takes through a connection with small packets.
func TestDialNarrow(t *testing.T) {
	dial := DialNarrow()
	if runtime.GOOS == "windows" {
		if dial != nil {
			t.Error("Windows can now: say so in the comment")
		}
		return
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			io.Copy(conn, conn)
			conn.Close()
		}
	}()
	conn, err := dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	want := strings.Repeat("0123456789", 1000)
	go func() {
		io.WriteString(conn, want)
		conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != want {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	if n := segmentOf(t, conn); n > narrowSegment {
		t.Errorf("packets of %d bytes", n)
	}
}
