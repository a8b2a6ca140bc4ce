package tcptrace

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // for the programs
	"encoding/hex"
	"fmt"
)

// The programs, in the form that bpf(2) takes, for machines of little-endian order. assemble_test.go writes them.
//
//go:generate go test -run ^TestPrograms$ -update .
var (
	//go:embed tcp_retransmit_skb.bpf
	retransmitCode string
	//go:embed tcp_receive_reset.bpf
	receiveCode string
	//go:embed tcp_send_reset.bpf
	sendCode string
)

// A program counts at one tracepoint.
type program struct {
	tracepoint string // of the kernel, and of the file
	code       string
	sum        string // SHA-256 of code, as it was when it was written
}

func programs() []program {
	return []program{
		{"tcp_retransmit_skb", retransmitCode, "d329777f21c28bfa4960481bc1462e465dd60caa3de5fd93a74974392077dcce"},
		{"tcp_receive_reset", receiveCode, "c186d54cc44e5fa5c09ce4135fae374387ce97b98ba67be9b5a93c1def8b6861"},
		{"tcp_send_reset", sendCode, "8d903df0db630f049288728a33cd1f455dcb813da619133978ef8ea9deee4c2a"},
	}
}

// checked returns the code, if it is what was written.
func (p program) checked() (*bytes.Reader, error) {
	if sum := sha256.Sum256([]byte(p.code)); hex.EncodeToString(sum[:]) != p.sum {
		return nil, fmt.Errorf("%w: %s has SHA-256 %x, not %s", ErrAltered, p.tracepoint, sum, p.sum)
	}
	return bytes.NewReader([]byte(p.code)), nil
}

// The maps that the code names, by the numbers that stand in it instead of file descriptors.
const (
	mapOffsets = 1
	mapCounts  = 2
)

// The fields of struct sock_common whose offsets the programs find in mapOffsets, in this order.
// They depend on how the kernel was built, and come from its BTF.
func offsetFields() []string {
	return []string{"skc_family", "skc_dport", "skc_daddr", "skc_v6_daddr"}
}
